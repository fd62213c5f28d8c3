"""rights: who else could plant or change a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mfa_audit.machine import rights

ANN = "S-1-5-21-1004336348-1177238915-682003330-1001"
BOB = "S-1-5-21-1004336348-1177238915-682003330-1002"


@pytest.mark.parametrize(
    ("sddl", "expected"),
    [
        # A file in a profile, as Windows makes it: the user, the system and the administrators.
        (f"O:{ANN}G:{ANN}D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;{ANN})", []),
        # Made elevated: the administrators own it, the user's rights are inherited.
        (f"O:BAG:BAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;{ANN})", []),
        # What Python 3.13 makes of mode 0o700.
        ("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)", []),
        # Everybody may read, which plants nothing; an entry to be inherited says nothing of the file itself.
        (f"O:{ANN}D:(A;;FR;;;WD)(A;OICIIO;FA;;;{BOB})", []),
        (f"O:{BOB}D:(A;;FA;;;SY)", [BOB]),
        (f"O:{ANN}D:(A;;FA;;;WD)", ["WD"]),
        (f"O:{ANN}D:(A;;0x1301bf;;;AU)(A;;0x1200a9;;;BU)", ["AU"]),
        (f"O:{ANN}D:(D;;FA;;;{BOB})(A;;FRFW;;;{BOB})", [BOB]),
        (f"O:{ANN}D:(A;;WO;;;{BOB})(A;;WD;;;{BOB})", [BOB]),
        (f"O:{ANN}", ["everybody"]),
        (f"O:{ANN}D:NO_ACCESS_CONTROL", ["everybody"]),
    ],
)
def test_strangers_in_a_security_descriptor(sddl: str, expected: list[str]) -> None:
    """Who owns a file or may write to it, beside the account and administrators, by SID and never by name or mode."""
    assert expected == rights.strangers_in(sddl, ANN)


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
@pytest.mark.parametrize(
    ("mode", "strangers", "readers"),
    [
        (0o600, [], []),
        (0o644, [], ["its group", "everybody"]),
        (0o620, ["its group"], []),
        (0o606, ["everybody"], ["everybody"]),
    ],
)
def test_modes(tmp_path: Path, mode: int, strangers: list[str], readers: list[str]) -> None:
    """On POSIX the mode says who may write and who may read."""
    file = tmp_path / "key"
    file.write_text("")
    file.chmod(mode)
    assert (strangers, readers) == (rights.strangers_of(file), rights.readers_of(file))


@pytest.mark.skipif(
    getattr(os, "geteuid", lambda: None)() != 0, reason="NOT HERE: only root can give a file away"
)
def test_another_owner(tmp_path: Path) -> None:
    """A file of another account is named with its number."""
    file = tmp_path / "key"
    file.write_text("")
    file.chmod(0o600)
    os.chown(file, 12345, -1)
    assert ["account number 12345"] == rights.strangers_of(file)
