"""Which hosts are Partner Center's API, and how a user names further ones."""

from __future__ import annotations

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import check_hosts, is_api_host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.partnercenter.microsoft.com", True),
        ("API.PartnerCenter.Microsoft.com.", True),
        ("anything.partnercenter.microsoft.com", True),
        ("api.example.com", True),
        ("partnercenter.microsoft.com.example.com", False),
        ("notpartnercenter.microsoft.com", False),
        ("login.microsoftonline.com", False),
    ],
)
def test_is_api_host(host: str, expected: bool) -> None:
    """The API's names in any case, names below its domain and further ones are; look-alikes are not."""
    assert expected is is_api_host(host, ("api.example.com",))


def test_further_hosts_are_names() -> None:
    """A further host is taken in lower case without a final dot; an address, a port or blanks are told of."""
    assert ("api.example.com", "b.example.com") == check_hosts(["API.example.com.", "b.example.com"])
    for wrong in (
        "not a host",
        "https://api.example.com",
        "api.example.com:443",
        "",
        "a\x1b[2J.com",
        "localhost",
    ):
        with pytest.raises(AuditError, match=r"is not a host name such as api\.example\.com") as told:
            check_hosts([wrong])
        assert "\x1b" not in str(told.value)
