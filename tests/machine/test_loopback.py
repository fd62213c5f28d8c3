"""Which addresses only this machine reaches."""

from __future__ import annotations

import pytest

from mfa_audit.machine.loopback import is_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_is_loopback(host: str, expected: bool) -> None:
    """Loopback addresses of both families and localhost are; every address, other machines and other names are not."""
    assert expected is is_loopback(host)
