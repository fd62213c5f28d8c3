"""batch_files: arguments reach a batch file on Windows as they are. Not run there: how cmd reads is modelled here."""

from __future__ import annotations

import re

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.machine.environment.batch_files import batch_line

BATCH = r"C:\Tools & more\sync.CMD"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("plain-1.2_x", "plain-1.2_x"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a&b|c<d>e^f", '"a&b|c<d>e^f"'),
        ('say "hi"', '"say ""hi"""'),
        ("%PATH%", '"%%cd:~,%PATH%%cd:~,%"'),
        ("ends\\", '"ends\\\\"'),
        ('back\\"slash', '"back\\\\""slash"'),
        ("O'Brien", '"O\'Brien"'),
        ("Übung", "Übung"),
    ],
)
def test_each_argument(argument: str, expected: str) -> None:
    """Everything that cmd acts upon is within quotes, a quote is two, and a percent sign starts no variable."""
    assert f'cmd.exe /e:ON /v:OFF /d /c ""{BATCH}" {expected}"' == batch_line([BATCH, argument], "nt")


def test_nothing_acts_outside_of_quotes() -> None:
    """Whatever an argument holds, no character that cmd acts upon stands outside of quotes, as cmd counts them."""
    hostile = [" & whoami", '" & whoami & "', '\\" & whoami', "^& whoami", '"" | more', 'a\\\\" > x', "(x)"]
    for argument in hostile:
        text = batch_line(["x.bat", argument], "nt")
        assert text is not None
        inside, quoted = text.partition("/c ")[2][1:-1], False  # cmd takes the outermost pair away
        for character in inside:
            quoted ^= character == '"'
            assert quoted or character not in "&|<>^()", (argument, text)
        assert re.search(r"%(?!%cd:~,%|cd:~,%)", inside) is None


@pytest.mark.parametrize("argument", ["a\rb", "a\nb", "a\0b"])
def test_what_no_line_can_hold_is_refused(argument: str) -> None:
    """A line break or NUL would end cmd's line: an error that says so, before anything is started."""
    with pytest.raises(AuditError, match="line break"):
        batch_line(["x.cmd", argument], "nt")


def test_other_programs_are_none_of_it() -> None:
    """Only batch files, and only on Windows."""
    assert [None, None] == [batch_line(["x.exe", "a"], "nt"), batch_line(["x.cmd", "a"], "posix")]
    assert batch_line(["X.BAT. "], "nt") is not None
