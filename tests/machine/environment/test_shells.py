"""shells: every value arrives in the shell as it left us, and the way back is the state before."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.machine.environment import shells
from mfa_audit.machine.environment.shells import Shell

HOSTILE = [
    "plain",
    "",
    " two  blanks ",
    "it's",
    'say "hi"',
    "$(touch owned)`touch owned`$HOME ${HOME}",
    "; touch owned #",
    "a\\b\\\\'c\\",
    "line\nbreak\r",
    "*?[a]{b,c}~!^&|<>%PATH%",
    "ümlaut ‘quote’ 𝄞",
]
SHELLS = [("bash", Shell.BASH), ("dash", Shell.BASH), ("zsh", Shell.BASH), ("fish", Shell.FISH)]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(("program", "shell"), SHELLS)
def test_real_shells_set_what_is_meant(program: str, shell: Shell, value: str, tmp_path: object) -> None:
    """A real shell that runs the lines exports the value to its children, byte for byte, and runs nothing
    else.
    """
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    script = "\n".join([*shells.render(shell, {"HOSTILE": value}), "printenv HOSTILE; ls"])

    done = subprocess.run(
        [path, "-c", script], cwd=str(tmp_path), capture_output=True, timeout=20, check=True
    )

    assert (value + "\n").encode() == done.stdout


@pytest.mark.parametrize(("program", "shell"), SHELLS)
def test_real_shells_unset(program: str, shell: Shell) -> None:
    """None takes the variable away from the shell's children."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    lines = [*shells.render(shell, {"GONE": "here"}), *shells.render(shell, {"GONE": None})]
    done = subprocess.run(
        [path, "-c", "\n".join([*lines, "printenv GONE"])], capture_output=True, timeout=20, check=False
    )

    assert (b"", 1) == (done.stdout, done.returncode)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("it's $HOME", "'it''s $HOME'"),
        ("", "''"),
        ("ü’𝄞", "('' + [char]0x00fc + [char]0x2019 + [char]0xd834 + [char]0xdd1e)"),
        ("a\nb", "('' + 'a' + [char]0x000a + 'b')"),
    ],
)
def test_powershell_text(value: str, written: str) -> None:
    """PowerShell gets one ASCII line, in which nothing is expanded and no quote ends the text."""
    assert [f"$env:X = {written}"] == shells.render(Shell.POWERSHELL, {"X": value})


@pytest.mark.parametrize("value", ["100%", 'say "hi"', "a\nb", "wow!"])
def test_cmd_refuses_what_it_cannot_carry(value: str) -> None:
    """A value that cmd would act on is an error that names the variable, never a line that does something
    else.
    """
    with pytest.raises(AuditError, match="NO_PROXY"):
        shells.render(Shell.CMD, {shells.OLD + "NO_PROXY": value})


def test_cmd_carries_the_rest() -> None:
    """Blanks, ampersands and carets are safe inside cmd's quotes."""
    lines = shells.render(Shell.CMD, {"A": "C:\\a b & c^d", "B": None})

    assert ['set "A=C:\\a b & c^d"', 'set "B="'] == lines


def test_way_there_and_back() -> None:
    """What was changed comes back, what was added goes, also after a second time there."""
    before = {"HOME": "/h", "NO_PROXY": "a", "HTTP_PROXY": ""}
    there = {**before, "NO_PROXY": "b", "HTTP_PROXY": "p", "SSL_CERT_FILE": "/f"}

    first = shells.apply(before, shells.redirect(before, there))
    again = shells.apply(
        first, {**shells.restore(first), **shells.redirect(before, {**there, "NO_PROXY": "c"})}
    )

    assert ("b", "c") == (first["NO_PROXY"], again["NO_PROXY"])
    assert before == shells.apply(first, shells.restore(first)) == shells.apply(again, shells.restore(again))


def test_nothing_to_restore() -> None:
    """A terminal that was never changed needs no line."""
    assert {} == shells.restore({"HOME": "/h", "MFA_AUDIT_OLD_X": "left over"})


def test_odd_names_are_never_written() -> None:
    """A name that is no plain name is left out instead of being run."""
    assert [] == shells.render(Shell.BASH, {"A;touch owned": "x"})


@pytest.mark.parametrize(
    ("names", "shell"),
    [
        (["mfa-audit.exe", "PowerShell.EXE", "explorer.exe"], Shell.POWERSHELL),
        (["python3", "-zsh"], Shell.BASH),
        (["fish", "bash"], Shell.FISH),
        (["init"], None),
    ],
)
def test_nearest_shell_counts(names: list[str], shell: Shell | None) -> None:
    """Of the calling programs the nearest one that is a shell tells the language."""
    assert shell == shells.named(names)


def test_a_quoted_word_is_one_word() -> None:
    """A path with blanks, quotes and dollar signs is one word to a POSIX shell, and to PowerShell by its rules."""
    word = 'it\'s $HOME; "x" `y`'
    told = subprocess.run(
        ["sh", "-c", f"printf %s {shells.quote(word, windows=False)}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert word == told.stdout
    assert "'it''s $HOME; \"x\" `y`'" == shells.quote(word, windows=True)
