"""`mfa-audit check`: Yes or No for one token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mfa_audit.commands.check import details, why
from mfa_audit.commands.demo.sample_tokens import make_app_token, make_token, make_user_token
from mfa_audit.exchanges.exchange import Secret
from mfa_audit.judging.tokens import read

ADDONS = Path(__file__).parents[2] / "addons"
GOOD = make_user_token("pwd", "mfa")
BAD = make_user_token("pwd", iat=int(time.time()) - 4 * 3600, exp=int(time.time()) - 3 * 3600 - 60)


def check(*arguments: str, given: str | bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `mfa-audit check` as a process of its own, standard input from a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "mfa_audit", "check", *arguments],
        input=given.encode() if isinstance(given, str) else given,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ADDONS), "TZ": "UTC", "PYTHONIOENCODING": "utf-8", **variables},
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize(
    ("given", "code", "answer", "verdict", "reason"),
    [
        (GOOD, 0, "yes", "compliant", "mfa"),
        (f"Authorization: Bearer {GOOD}\r\n", 0, "yes", "compliant", "mfa"),
        (make_app_token(), 0, "yes", "exempt", "app-only"),
        (BAD, 1, "no", "non-compliant", "amr-without-mfa"),
        (
            make_user_token("mfa", aud="https://graph.windows.net"),
            3,
            "unclear",
            "undetermined",
            "retired-audience",
        ),
        (make_user_token(ver="2.0"), 3, "unclear", "undetermined", "amr-missing-v2"),
        ("Bearer REMOVED", 3, "unclear", "undetermined", "redacted"),
        ("Bearer", 3, "unclear", "undetermined", "empty-token"),
    ],
)
def test_json_and_exit_codes(given: str, code: int, answer: str, verdict: str, reason: str) -> None:
    """The JSON has exactly the promised fields, and the exit code is the answer's."""
    done = check("--json", given=given)
    result = json.loads(done.stdout)
    assert ["schema_version", "answer", "verdict", "reasons", "claims", "advice"] == list(result)
    assert (1, answer, verdict, [reason]) == tuple(result[name] for name in list(result)[:4])
    assert (code, "") == (done.returncode, done.stderr)
    assert (answer == "yes") is (result["advice"] is None)


def test_json_shows_allowed_claims_only() -> None:
    """Claims outside the allow-list, and the token itself, are not printed."""
    done = check("--json", given=make_user_token("mfa", groups=["secret-group"]))
    claims = json.loads(done.stdout)["claims"]
    assert ["mfa"] == claims["amr"]
    assert "groups" not in claims
    assert not any(GOOD[at : at + 16] in done.stdout for at in range(len(GOOD) - 15))


def test_an_answer_for_people() -> None:
    """NO comes first, then why, the claims in words, local times, the fix, and what is not proven."""
    done = check(given=BAD)
    lines = done.stdout.splitlines()
    assert "NO - this token was obtained without MFA." == lines[0]
    assert "mfa is not among them" in lines[1]
    assert "For     https://api.partnercenter.microsoft.com" in lines
    assert "expired 3 h ago" in done.stdout
    assert "a public client, no secret" in done.stdout
    assert "https://learn.microsoft.com/partner-center/developer/enable-secure-app-model" in done.stdout
    assert "This proves one token, not the tool: its other runs may use other tokens." == lines[-2]
    assert "The token's signature was not checked." == lines[-1]
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("0.AXoA3vWlfAAAQA-AwBcFAOAB.AgABAwEAAA" + "x9Y-_" * 40, "a refresh token: treat it as a password"),
        (make_token({"aud": "5d2b6f60-0000-4000-8000-0000000c1133", "nonce": "n"}), "an id token"),
        ("abc8Q~" + "x" * 34, "a client secret"),
        ("hunter2", "not a token"),
        (json.dumps({"log": {"version": "1.2", "entries": []}}), "mfa-audit import FILE"),
        (b"PK\x03\x04" + bytes(30), "mfa-audit import FILE"),
        (b"3688:9:websocket;0:~", "mfa-audit import FILE"),
        (b"SQLite format 3\0" + bytes(100), "mfa-audit report --db FILE"),
    ],
)
def test_what_is_no_access_token(given: str | bytes, words: str) -> None:
    """The sentence says what it is and what to do, and shows nothing of it; exit 2."""
    done = check(given=given)
    assert (2, "") == (done.returncode, done.stdout)
    assert words in done.stderr
    assert "x9Y-_" not in done.stderr
    assert "hunter2" not in done.stderr


def test_the_name_of_a_file(tmp_path: Path) -> None:
    """A file's name as an argument is told to be one, with the command that reads it."""
    (tmp_path / "token.txt").write_text(GOOD)
    done = check("--quiet", str(tmp_path / "token.txt"))
    assert 2 == done.returncode
    assert f"mfa-audit check < {tmp_path / 'token.txt'}" in done.stderr


def test_two_tokens_have_an_answer_each() -> None:
    """Each is judged by itself, and the worst decides the exit code; the same one twice is one."""
    done = check(given=f"{GOOD}\n{BAD}\n{GOOD}\n")
    assert 1 == done.returncode
    for words in ("Token 1 of 2\nYES", "Token 2 of 2\nNO"):
        assert words in done.stdout
    assert "encrypted" not in done.stdout
    result = json.loads(check("--json", given=f"{GOOD}\n{BAD}").stdout)
    assert ("no", ["yes", "no"]) == (result["answer"], [one["answer"] for one in result["tokens"]])
    assert 0 == check(given=f"{GOOD}\n{GOOD}").returncode


def test_an_apps_own_token_for_something_else() -> None:
    """It is exempt, and yet no YES about Partner Center: exit 3."""
    other = make_app_token(aud="https://graph.microsoft.com")
    done = check(given=other)
    assert 3 == done.returncode
    assert "CANNOT TELL - exempt" in done.stdout
    assert "it is not a token for Partner Center" in done.stdout
    assert "YES" not in done.stdout
    result = json.loads(check("--json", given=other).stdout)
    assert ("unclear", "exempt", ["app-only", "wrong-audience"]) == (
        result["answer"], result["verdict"], result["reasons"],
    )  # fmt: skip


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_an_argument_works_with_a_warning(quiet: list[str]) -> None:
    """A token as an argument is judged, with a warning on stderr unless told to be quiet."""
    done = check("Bearer", GOOD, *quiet)
    assert (0, not quiet) == (done.returncode, "shell's history" in done.stderr)
    assert GOOD not in done.stderr


def test_dash_is_standard_input() -> None:
    """`-` reads standard input, as everywhere."""
    assert 1 == check("-", given=BAD).returncode


@pytest.mark.parametrize("arguments", [[], ["-"], ["--json"], ["--nope"], ["x", "--clipboard"], [""]])
def test_wrong_usage(arguments: list[str]) -> None:
    """No token, an unknown option, two sources: one clear message and exit 2."""
    done = check(*arguments, given="\r\n")
    assert (2, "") == (done.returncode, done.stdout)
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


@pytest.mark.skipif(os.name == "nt", reason="looks for the clipboard programs of Linux")
def test_clipboard(tmp_path: Path) -> None:
    """The platform's clipboard program is asked; without one the message says what to do."""
    without = check("--clipboard", PATH=str(tmp_path))
    assert 2 == without.returncode
    assert "clipboard" in without.stderr
    program = tmp_path / ("pbpaste" if sys.platform == "darwin" else "xclip")
    program.write_text(f"#!/bin/sh\necho '{BAD}'\n")
    program.chmod(0o700)
    assert 1 == check("--clipboard", PATH=str(tmp_path)).returncode


def test_hostile_claims_do_nothing() -> None:
    """Terminal escapes in a claim are spelled out, whatever the console can show."""
    hostile = make_user_token("pwd", upn="\x1b[2J\u202eevil\n@x", app_displayname="\x07", aud="\x9b31m")
    for encoding in ("utf-8", "cp437", "ascii"):
        done = check(given=hostile, PYTHONIOENCODING=encoding)
        assert 3 == done.returncode
        assert not {"\x1b", "\u202e", "\x07", "\x9b"} & set(done.stdout)
        assert "evil" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX terminal")
@pytest.mark.parametrize("end", ["\n", "\nls -l\n", "\r\n\r\nHost: x\r\n", ".\n"])
def test_the_prompt_is_hidden(end: str) -> None:
    """On a terminal the token is asked for and not shown, however long it is; the answer has colour."""
    import pty  # not on Windows, where this module must still be collected

    controller, terminal = pty.openpty()
    long = make_user_token("pwd", "mfa", groups=["g" * 60] * 100)
    with subprocess.Popen(
        [sys.executable, "-m", "mfa_audit", "check"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "PYTHONPATH": str(ADDONS)},
    ) as process:
        os.close(terminal)
        shown = _read_until(controller, b"Enter: ")
        os.write(controller, long.encode() + end.encode())
        shown += _read_until(controller, b"not checked.")
        assert 0 == process.wait(30)
    os.close(controller)
    assert b"YES" in shown
    assert b"\x1b[32m" in shown
    assert long[100:116].encode() not in shown


def _read_until(controller: int, mark: bytes) -> bytes:
    shown = b""
    while mark not in shown:
        try:
            shown += os.read(controller, 4096)
        except OSError:
            break
    return shown


def test_light_enough_to_start_at_once() -> None:
    """`check` loads neither mitmproxy nor SQLite."""
    code = "import sys, mfa_audit.commands.check; print({'mitmproxy', 'sqlite3', 'rich'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ADDONS)},
        check=True,
    )
    assert "set()" == done.stdout.strip()


@pytest.mark.parametrize(
    ("claims", "label", "told"),
    [
        ({"exp": 1_700_000_000 + 600}, "Expires", "in 10 min"),
        ({"exp": 1_700_000_000 - 7_200}, "Expires", "expired 2 h ago"),
        ({"iat": 1_700_000_000 - 90}, "Issued", "1 min ago"),
        ({"appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46"}, "App", "Azure CLI or Partner Center PowerShell"),
        ({"appidacr": "2"}, "App", "a client with a certificate"),
        ({"aud": ["a", "b"]}, "For", "a, b"),
    ],
)
def test_claims_with_their_meaning(claims: dict[str, object], label: str, told: str) -> None:
    """Each claim that matters is told in words, times as distances too."""
    token = read([Secret(make_user_token("mfa", **claims).encode())])
    shown = dict(details(token, datetime.fromtimestamp(1_700_000_000, UTC)))
    assert told in shown[label]


def test_unreadable_tokens_have_no_details() -> None:
    """Where nothing could be read, only the reason is told."""
    token = read([Secret(b"Bearer REMOVED")])
    assert [] == list(details(token, datetime.now(UTC)))
    assert "The token was taken out before we saw it." == why(token)
