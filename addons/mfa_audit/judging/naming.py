"""Names of programs and products without what varies from run to run, and which of them name one thing only.

Whoever changes a rule here raises NAMING_VERSION: names in a database are then derived anew from what was seen. A rule
that takes too little out makes one job several rows; one that takes too much makes two jobs one row, where a good one
could hide a bad one. So short numbers stay: `job-1.ps1` and `job-2.ps1` are two.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from mfa_audit.exchanges.exchange import Program

NAMING_VERSION: Final = 1
LONGEST_NAME: Final = 100

# What varies, by kind, in the order in which it is taken out.
_KINDS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), f"<{kind}>")
    for kind, pattern in (
        ("guid", r"\{?(?<![0-9a-z])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-z])\}?"),
        # 2026-11-25, 20261125T0200, 2026.11.25_02-00-00, 20261125.3 (a run of Azure Pipelines) and 25.11.2026.
        (
            "date",
            r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
            r"(?:[-_. T]?(?:[01]\d|2[0-3])[-_.:]?[0-5]\d(?:[-_.:]?[0-5]\d)?Z?|\.\d{1,3})?(?!\d)"
            r"|(?<!\d)(?:0[1-9]|[12]\d|3[01])([-_.])(?:0[1-9]|1[0-2])\2(?:19|20)\d\d(?!\d)",
        ),
        # At least seven digits of a hash, such as Git's short ones; three decimal ones, so that no word is one.
        ("hash", r"(?<![0-9a-z])(?=(?:[a-f]*\d){3})(?=\d*[a-f])[0-9a-f]{7,}(?![0-9a-z])"),
        # Times since 1970, ids of processes and runs; also with letters right before: jenkins7223862382.sh
        ("number", r"\d{5,}|(?<=(?<![a-z])build)[-_. #]?\d{2,}|(?<=(?<![a-z])run)[-_. #]?\d{3,}"),
    )
)
# What mkstemp(3), mktemp(1), Python and Windows call temporary files.
_TEMPORARY: Final = re.compile(r"tmp(?:[a-z0-9_]{8}|\.[A-Za-z0-9]{6,10}|[0-9A-F]{1,4})")
_ENDING: Final = re.compile(r"\.[A-Za-z]\w{0,5}\Z")
# A version of two numbers or more at the end of a program's name: contoso-sync-2.4.1
_PROGRAM_VERSION: Final = re.compile(r"[-_ .]?(?<!\d)v?\d+(?:\.\d+)+\Z", re.IGNORECASE)
_VERSION: Final = re.compile(
    r"(?<![\s/_,;(-])[\s/_,;(-]*(?:\bv(?:er(?:sion)?)?[\s.]*\d[\w.+-]*|\b\d+\.\d[\w.+-]*)\)?\s*$",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(r"<\w+>")
_HELPER: Final = " helper"  # the process of an application on macOS that makes its connections

# Programs that stand for many jobs: which of them it was, their name does not tell. First interpreters and shells,
# which without a script say nothing, whatever version is attached to their names.
_INTERPRETERS: Final = frozenset(
    name
    for names in (
        "python pythonw pypy py pyw node nodejs deno bun java javaw bash sh dash zsh ksh ash fish csh tcsh "
        "cmd command cscript wscript dotnet perl ruby php php-cgi php-fpm rscript r lua powershell "
        "powershell_ise pwsh pwsh-preview busybox osascript groovy scala kotlin erl beam.smp tclsh awk make",
    )
    for name in names.split()
)
_BROWSERS: Final = frozenset(
    name
    for names in (
        "chrome,google-chrome,google chrome,chromium,chromium-browser,headless_shell,msedge,microsoft-edge",
        "microsoft edge,msedgewebview2,firefox,firefox-esr,firefox-bin,safari,com.apple.webkit.networking",
        "brave,brave-browser,brave browser,opera,vivaldi,iexplore",
    )
    for name in names.split(",")
)
_SHARED: Final = _BROWSERS | frozenset(
    name
    for names in (
        # What runs other people's code: application servers, test runners, notebooks, editors, schedulers' hosts.
        "uvicorn gunicorn hypercorn celery flask pytest ipykernel_launcher jupyter http.server func "
        "functionshost w3wp iisexpress svchost dllhost rundll32 taskhostw wsmprovhost httpd apache2 "
        "tomcat supervisord pm2 npm npx yarn uv pipx code devenv rider64 idea64 azuredatastudio ssms "
        "uwsgi puma unicorn sidekiq rails rake bundle wsgi asgi manage tsx ts-node mono julia matlab ipython irb "
        "jupyter-lab jupyter-notebook linqpad linqpad8 linqpad.userquery poetry pipenv tox nox "
        "microsoft.azure.webjobs.script.webhost orchestrator.sandbox jobruntimeapp runner.worker agent.worker "
        "airflow airflow-worker prefect dagster luigi n8n node-red rundeck jenkins-agent gitlab-runner "
        "uipath.executor pad.console.host sqlagent dtexec isserverexec tentacle calamari "
        "ansible ansible-playbook salt-minion chef-client puppet "
        "excel msaccess winword pbidesktop powerbi microsoft.mashup.container "
        "microsoft.mashup.container.netfx45 microsoft.mashup.container.loader",
        # Clients for whatever one types.
        "curl wget wget2 aria2c http https xh hurl az azure.cli postman newman insomnia bruno "
        "bitsadmin certutil openssl soapui grpcurl restish",
        # What passes other programs' connections on.
        "ssh sshd nc ncat netcat socat stunnel nginx haproxy envoy squid privoxy cntlm px mitmproxy "
        "mitmdump mitmweb fiddler fiddlereverywhere charles zscaler docker-proxy com.docker.backend "
        "vpnkit wslrelay slirp4netns pasta rootlessport conmon gvproxy",
        # Names that any script may have.
        "__main__ main index app application script run runner start test job task program server "
        "worker cli client api tmp temp custom_script bootstrap entrypoint docker-entrypoint wrapper "
        "jenkins azureclitaskscript_inlinescript azureclitaskscript inlinescript code wwwroot "
        "function_app startup launcher other",
    )
    for name in names.split()
)


@lru_cache(maxsize=2_000)
def stable_name(name: str) -> str:
    """A program's name (a file's) without ids of runs, dates, hashes and versions: `<guid>.ps1`, `sync-<date>.py`."""
    ending = _ENDING.search(name)
    stem, ending_text = (name[: ending.start()], ending[0]) if ending else (name, "")
    if _TEMPORARY.fullmatch(stem) or _TEMPORARY.fullmatch(name):
        return "tmp<random>" + (ending_text if _TEMPORARY.fullmatch(stem) else "")
    for pattern, placeholder in _KINDS:
        stem = pattern.sub(placeholder, stem)
    return (_PROGRAM_VERSION.sub("", stem) or stem) + ending_text


def stable_program(program: Program | None) -> Program | None:
    """The program as one run of it shares it with the next."""
    if program is None:
        return None
    starter = program.started_by
    return program._replace(
        name=stable_name(program.name), started_by=None if starter is None else stable_name(starter)
    )


def is_specific(name: str) -> bool:
    """Whether a program of this name is one job: a script, or an executable that is no interpreter, shell or browser.

    Nor what passes on others' connections, and no name that any script may have, such as `main.py`, or that an agent
    made up for one run.
    """
    stable = stable_name(name).lower()
    ending = _ENDING.search(stable)
    stems = {stable, stable[: ending.start()] if ending else stable}
    bare = {_PLACEHOLDER.sub("", stem).strip(" -_.()").removesuffix(_HELPER) for stem in stems}
    if bare & _SHARED or {stem.rstrip("0123456789.-") for stem in bare} & _INTERPRETERS:
        return False
    return all(re.search(r"[^\W\d_]", stem) for stem in bare)


# What starts programs when somebody wants it, or for whoever asks: no schedule runs them again as they ran before.
_BY_HAND: Final = frozenset(
    name.lower()
    for name in (
        *("terminal", "login session", "SSH session", "PowerShell remoting", "systemd-run", "at"),
        *("container", "IIS", "launchd"),
    )
)


def is_unattended(started_by: str | None) -> bool:
    """Whether a scheduler or a service starts the program, so that its next run is like its last ones; not by hand."""
    return started_by is not None and started_by.lower() not in _BY_HAND


def is_browser(program: str | None, user_agent: str | None) -> bool:
    """Whether this is a browser, by its program's name, else by its User-Agent."""
    if program is not None:
        return program.strip().lower().removesuffix(".exe").removesuffix(_HELPER) in _BROWSERS
    product = product_of(user_agent)
    return product is not None and product.name in _BROWSER_PRODUCTS


class Product(NamedTuple):
    """A User-Agent's product. `generic`: a library, browser or shell that stands for many tools."""

    name: str
    generic: bool


# Marks in a User-Agent -> product; the first that is found counts. Edge and Chrome both say Chrome and
# Safari, all say Mozilla, PowerShell says Mozilla too, and Power Automate runs on Logic Apps: hence the
# order.
_MARKS: Final = tuple(
    (re.compile(mark, re.IGNORECASE), Product(name, generic))
    for mark, name, generic in (
        (r"\bCIPP\b", "CIPP", False),
        (r"\bmicrosoft-flow/", "Power Automate", False),
        (r"\bazure-logic-apps/", "Azure Logic Apps", False),
        (r"\bAZURECLI/|\baz-cli\b", "Azure CLI", False),
        (r"\bAzurePowershell/|\bAzPSCmdlet", "Azure PowerShell", False),
        (r"Microsoft\.Data\.Mashup", "Power Query", False),
        (r"Microsoft\.Store\.PartnerCenter\b|^FxVersion/", "Partner Center SDK for .NET", False),
        (r"\bPostmanRuntime/", "Postman", False),
        (r"\binsomnia/", "Insomnia", False),
        (r"\bWindowsPowerShell/", "Windows PowerShell", True),
        (r"\bPowerShell/", "PowerShell", True),
        (r"^curl\b", "curl", True),
        (r"^Wget\b", "Wget", True),
        (r"^python-requests/", "Python requests", True),
        (r"^python-httpx/", "Python httpx", True),
        (r"\baiohttp/", "Python aiohttp", True),
        (r"^python-urllib3/|^Python-urllib/", "Python urllib", True),
        (r"^python/", "Python", True),
        (r"^axios/", "axios", True),
        (r"^undici\b|^node$|^node/|^node-fetch\b|\bnode-fetch/", "Node.js fetch", True),
        (r"^got\b", "Node.js got", True),
        (r"^Go-http-client/", "Go", True),
        (r"^okhttp/", "OkHttp", True),
        (r"^Java-http-client/|^Java/", "Java", True),
        (r"^Apache-HttpClient/", "Apache HttpClient", True),
        (r"^Apache-CXF", "Apache CXF", True),
        (r"^RestSharp/", "RestSharp", True),
        (r"^GuzzleHttp/", "PHP Guzzle", True),
        (r"^PHP\b", "PHP", True),
        (r"^Ruby\b|^rest-client/|^Faraday\b", "Ruby", True),
        (r"^libwww-perl/", "Perl", True),
        (r"^HTTPie/", "HTTPie", True),
        (r"^reqwest/", "Rust reqwest", True),
        (r"^Dalvik/", "Android", True),
        (r"\bEdgA?/|\bEdge/", "Microsoft Edge", True),
        (r"\bFirefox/", "Firefox", True),
        (r"\bOPR/", "Opera", True),
        (r"\b(?:Headless)?Chrome/|\bCriOS/", "Chrome", True),
        (r"\bVersion/\S+.*\bSafari/", "Safari", True),
        (r"^Mozilla/", "Browser", True),
    )
)


_BROWSER_PRODUCTS: Final = frozenset({"Microsoft Edge", "Firefox", "Opera", "Chrome", "Safari", "Browser"})


def product_of(user_agent: str | None) -> Product | None:
    """The product that a User-Agent names, without its version; None where there is no User-Agent."""
    if not user_agent:
        return None
    for mark, product in _MARKS:
        if mark.search(user_agent):
            return product
    # `Name/1.2 (comment) Other/3`, or words and a version: the name before any of them.
    name = cut_version(re.split(r"[/(;]", user_agent, maxsplit=1)[0])
    return Product(name, generic=False) if name else None


def cut_version(value: str) -> str:
    """The name without a version at its end or what varies from run to run: `Contoso Sync v2.0` is `Contoso Sync`."""
    name = value[:512]
    for pattern, _ in _KINDS:
        name = pattern.sub("", name)
    return " ".join(_VERSION.sub("", name).split()).strip(" -_/,;:")[:LONGEST_NAME]
