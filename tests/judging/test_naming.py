"""Names without what varies from run to run, and which of them name one job."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mfa_audit.addon.command_lines import _INTERPRETERS, _POWERSHELL_NAMES
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.naming import (
    LONGEST_NAME,
    Product,
    cut_version,
    is_browser,
    is_specific,
    is_unattended,
    product_of,
    stable_name,
    stable_program,
)

GUID = "0B9C3F0A-58e1-4c2b-9a3f-5f8f0f2a7d11"
FX = (
    "FxVersion/4.8.3710.0 OSName/Windows OSVersion/10.0.18312.0 "
    "Microsoft.Store.PartnerCenter.Network.PartnerServiceClient/1.0.0.0"
)
MOZILLA = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"


def logic_apps(run: int) -> str:
    return f"azure-logic-apps/1.0 (workflow 6c9e1b7ad1f24b8e8d{run}; version 08585{run})"


@pytest.mark.parametrize(
    ("user_agent", "name", "generic"),
    [
        ("CIPP/8.2.0 (user:<email>)", "CIPP", False),
        (FX, "Partner Center SDK for .NET", False),
        (
            "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1",
            "Windows PowerShell",
            True,
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.22631; de-DE) PowerShell/7.4.1",
            "PowerShell",
            True,
        ),
        (logic_apps(1), "Azure Logic Apps", False),
        (logic_apps(1) + " microsoft-flow/1.0", "Power Automate", False),
        ("python/3.10.5 (Linux-5.15) AZURECLI/2.53.0 (DEB)", "Azure CLI", False),
        ("PostmanRuntime/7.36.0", "Postman", False),
        ("insomnia/8.6.0", "Insomnia", False),
        ("curl/8.5.0", "curl", True),
        ("python-requests/2.32.3", "Python requests", True),
        ("python-httpx/0.28.1", "Python httpx", True),
        ("Python/3.11 aiohttp/3.9.1", "Python aiohttp", True),
        ("Python-urllib/3.11", "Python urllib", True),
        ("axios/1.7.2", "axios", True),
        ("node", "Node.js fetch", True),
        ("undici", "Node.js fetch", True),
        ("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "Node.js fetch", True),
        ("Go-http-client/2.0", "Go", True),
        ("Java/17.0.9", "Java", True),
        ("Java-http-client/17.0.9", "Java", True),
        ("Apache-HttpClient/4.5.13 (Java/11.0.2)", "Apache HttpClient", True),
        ("okhttp/4.12.0", "OkHttp", True),
        (f"{MOZILLA} Chrome/120.0.0.0 Safari/537.36 Edg/120.0.2210.91", "Microsoft Edge", True),
        (f"{MOZILLA} Chrome/120.0.0.0 Safari/537.36", "Chrome", True),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0", "Firefox", True),
        (
            "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15",
            "Safari",
            True,
        ),
        ("Mozilla/5.0", "Browser", True),
        ("NightlySync/3.1 (build 77)", "NightlySync", False),
        ("Contoso Sync 3.1.4", "Contoso Sync", False),
        ("Contoso Sync v2", "Contoso Sync", False),
        ("Contoso-Billing", "Contoso-Billing", False),
        ("Office 365 Watcher/1", "Office 365 Watcher", False),
        (f"Contoso Sync {GUID}", "Contoso Sync", False),
        ("Contoso-Sync-20261125.3/1.0", "Contoso-Sync", False),
        ("Contoso Sync 2026.11.25", "Contoso Sync", False),
        ("Contoso Sync build 1234", "Contoso Sync build", False),
        ("contoso-sync-3f2a91c/2", "contoso-sync", False),
    ],
)
def test_product_of_a_user_agent(user_agent: str, name: str, generic: bool) -> None:
    """A User-Agent names a product without versions, builds and ids; libraries stand for many tools."""
    assert Product(name, generic) == product_of(user_agent)


@pytest.mark.parametrize("user_agent", [None, "", "1.2.3", "/", "(x)"])
def test_a_user_agent_may_name_nothing(user_agent: str | None) -> None:
    """No User-Agent is normal: Microsoft's own .NET SDK sends none."""
    assert None is product_of(user_agent)


NAMES = {
    f"{GUID}.ps1": ("<guid>.ps1", False),
    f"{{{GUID}}}.cmd": ("<guid>.cmd", False),
    f"sync-{GUID}.ps1": ("sync-<guid>.ps1", True),
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": ("<hash>", False),
    "sync-3f2a91c.py": ("sync-<hash>.py", True),
    "jenkins7223862382.sh": ("jenkins<number>.sh", False),
    "azureclitaskscript1723456789012_inlinescript.ps1": (
        "azureclitaskscript<number>_inlinescript.ps1",
        False,
    ),
    "nightly_2026-11-25_02-00-00.py": ("nightly_<date>.py", True),
    "nightly.20261125T0200Z.py": ("nightly.<date>.py", True),
    "Report 25.11.2026.exe": ("Report <date>.exe", True),
    "20261125.py": ("<date>.py", False),
    "sync_build_123.ps1": ("sync_build<number>.ps1", True),
    "sync-run-0042.ps1": ("sync-run<number>.ps1", True),
    "contoso-sync-2.4.1.jar": ("contoso-sync.jar", True),
    "Contoso.Sync_v1.0.0.3.exe": ("Contoso.Sync.exe", True),
    "tmpab12_x9q.py": ("tmp<random>.py", False),
    "tmp.Xy3kQz81Ab": ("tmp<random>", False),
    "python3.12": ("python", False),
    "pwsh": ("pwsh", False),
    "PowerShell.EXE": ("PowerShell.EXE", False),
    "java": ("java", False),
    "curl": ("curl", False),
    "chrome.exe": ("chrome.exe", False),
    "Google Chrome Helper": ("Google Chrome Helper", False),
    "Code Helper": ("Code Helper", False),
    "msedgewebview2.exe": ("msedgewebview2.exe", False),
    "w3wp.exe": ("w3wp.exe", False),
    "azure.cli": ("azure.cli", False),
    "Microsoft.Mashup.Container.NetFX45.exe": ("Microsoft.Mashup.Container.NetFX45.exe", False),
    "ssh": ("ssh", False),
    "main.py": ("main.py", False),
    "index.js": ("index.js", False),
    "script.ps1": ("script.ps1", False),
    "42.ps1": ("42.ps1", False),
    "(other)": ("(other)", False),
    "nightly-sync.ps1": ("nightly-sync.ps1", True),
    "Renew licences.vbs": ("Renew licences.vbs", True),
    "Contoso.Billing.exe": ("Contoso.Billing.exe", True),
    "com.contoso.Sync": ("com.contoso.Sync", True),
    "office365-report.py": ("office365-report.py", True),
    # What may be two jobs stays two.
    "job-1.ps1": ("job-1.ps1", True),
    "run-02.ps1": ("run-02.ps1", True),
    "sync-v2.ps1": ("sync-v2.ps1", True),
    "sync-2026.ps1": ("sync-2026.ps1", True),
    "decade.py": ("decade.py", True),
    "effaced99.py": ("effaced99.py", True),
    "Müller-Abgleich.py": ("Müller-Abgleich.py", True),
}


@pytest.mark.parametrize(("name", "stable", "specific"), [(name, *facts) for name, facts in NAMES.items()])
def test_names_of_programs(name: str, stable: str, specific: bool) -> None:
    """What varies is taken out by kind, and only what can be one job only is specific."""
    assert (stable, specific) == (stable_name(name), is_specific(name))


def test_no_interpreter_is_specific() -> None:
    """Whatever is read up to its script is, without one, no job."""
    interpreters = {*_INTERPRETERS, *_POWERSHELL_NAMES}
    assert set() == {name for name in interpreters if is_specific(name) or is_specific(f"{name.title()}.exe")}


def test_a_program_of_one_run_is_that_of_the_next() -> None:
    """Its starter's name is treated alike; its account stays."""
    one = Program(f"{GUID}.ps1", "svc-12345", f"agent@{GUID}.service")
    assert Program("<guid>.ps1", "svc-12345", "agent@<guid>.service") == stable_program(one)
    assert stable_program(None) is None


@given(st.text(max_size=300))
@example("tmp" + "0" * 250)
@example("a" * 250 + ".b")
def test_any_name_is_stable(name: str) -> None:
    """What is stable stays what it is, is never longer by more than its placeholders, and is never empty."""
    stable = stable_name(name)
    assert stable == stable_name(stable) or "<" in name
    assert bool(name) == bool(stable)
    assert len(cut_version(name)) <= LONGEST_NAME
    is_specific(name)


@pytest.mark.parametrize("piece", ["0", "a0", "1.", "2026-11-", "-", "tmp", "build ", "{", "f" * 7 + "-"])
def test_hostile_names_take_no_time(piece: str) -> None:
    """A name made to be slow is not."""
    began = time.process_time()
    for length in range(100):
        stable_name(piece * 100 + "x" * length)
        cut_version(piece * 512 + "x" * length)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("started_by", "unattended"),
    [
        ("cron", True),
        ("Task Scheduler", True),
        ("backup.service", True),
        ("terminal", False),
        ("SSH session", False),
        ("login session", False),
        ("systemd-run", False),
        ("container", False),
        (None, False),
    ],
)
def test_what_starts_a_program_by_itself(started_by: str | None, unattended: bool) -> None:
    """Schedulers and services run a program again as they ran it before; people at a terminal do not."""
    assert unattended == is_unattended(started_by)


@pytest.mark.parametrize(
    ("program", "user_agent", "browser"),
    [
        ("chrome.exe", None, True),
        ("Firefox", None, True),
        ("Google Chrome Helper", None, True),
        # A program that is known is what it is, whatever it says of itself: scripts pose as browsers.
        ("sync.ps1", f"{MOZILLA} Chrome/120.0.0.0 Safari/537.36", False),
        ("powershell.exe", "Mozilla/5.0", False),
        (None, f"{MOZILLA} Chrome/120.0.0.0 Safari/537.36 Edg/120.0.2210.91", True),
        (None, "Mozilla/5.0", True),
        (None, "Mozilla/5.0 (Windows NT; en-US) WindowsPowerShell/5.1", False),
        (None, "curl/8.5.0", False),
        (None, None, False),
    ],
)
def test_what_a_browser_is(program: str | None, user_agent: str | None, browser: bool) -> None:
    """The program decides, and the User-Agent only where none is known: a browser's unused connections are excused."""
    assert browser is is_browser(program, user_agent)
