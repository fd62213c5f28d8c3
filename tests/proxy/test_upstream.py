"""upstream: the proxy behind ours, modes and passwords are checked before anything listens."""

from __future__ import annotations

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.proxy.upstream import Upstream, check_listening, check_mode, from_settings, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://proxy.corp:3128", Upstream("http", "proxy.corp", 3128)),
        ("proxy.corp:3128", Upstream("http", "proxy.corp", 3128)),
        ("https://proxy.corp/", Upstream("https", "proxy.corp", 443)),
        ("http://[fd00::1]:8080", Upstream("http", "fd00::1", 8080)),
        ("http://ann:p%40ss%3A@proxy.corp:80", Upstream("http", "proxy.corp", 80, "ann:p@ss:")),
    ],
)
def test_addresses_are_read(text: str, expected: Upstream) -> None:
    """Scheme, host, port and an escaped password come out as mitmproxy wants them."""
    assert expected == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "socks5://ann:hunter2@p:1",
        "http://ann:hunter2@p:99999",
        "http://ann:hunter2@p/x",
        "http://:hunter2@",
    ],
)
def test_bad_addresses_are_not_quoted(text: str) -> None:
    """An address that cannot be used is an error that does not repeat its password."""
    with pytest.raises(AuditError) as caught:
        parse(text)

    assert "hunter2" not in str(caught.value)


def test_password_is_shown_nowhere() -> None:
    """Neither repr nor mode nor URL hold the password."""
    upstream = parse("http://ann:hunter2@proxy.corp:80")

    assert "hunter2" not in f"{upstream!r} {upstream} {upstream.mode} {upstream.url}"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"https_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "p:1", "ALL_PROXY": "q:2"}, "http://p:1"),
        ({"ALL_PROXY": "http://q:2"}, "http://q:2"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": " "}, None),
        ({"HTTPS_PROXY": "http://127.0.0.1:8080/"}, None),
        ({"HTTPS_PROXY": "http://localhost:8080"}, None),
        ({"HTTPS_PROXY": "http://[::1]:8090"}, None),
        ({"HTTPS_PROXY": "http://127.0.0.1:8081"}, "http://127.0.0.1:8081"),
        (
            {
                "HTTPS_PROXY": "http://127.0.0.1:9999",
                "MFA_AUDIT_ENV": "HTTPS_PROXY",
                "MFA_AUDIT_OLD_HTTPS_PROXY": "http://p:1",
            },
            "http://p:1",
        ),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost, *"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.partner.microsoft.com"}, "http://p:1"),
    ],
)
def test_environments_proxy_becomes_upstream(variables: dict[str, str], expected: str | None) -> None:
    """The proxy that HTTPS takes now is the one behind ours, unless it is ours or every host is exempt from it."""
    found = from_settings(variables, own=["http://127.0.0.1:8080"], listening=("127.0.0.1", 8090))

    assert expected == (None if found is None else found.url)


def test_exemptions_are_kept() -> None:
    """NO_PROXY counts in both spellings, host by host."""
    variables = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.test;b.test", "no_proxy": "c.test, a.test"}

    found = from_settings(variables)

    assert found is not None
    assert ("c.test", "a.test", "b.test") == found.exempt


def test_a_socks_proxy_is_said() -> None:
    """Settings that name a SOCKS proxy end the start with the way round, instead of going past that proxy."""
    with pytest.raises(AuditError, match="--upstream"):
        from_settings({"ALL_PROXY": "socks5h://ann:hunter2@q:2"})


@pytest.mark.parametrize(
    ("mode", "platform", "version", "root", "says"),
    [
        ("local:pwsh", "linux", (11, 0, 2), True, "Python 3.12"),
        ("local", "linux", (12, 2, 3), False, "root"),
        ("transparent", "win32", (12, 2, 3), True, "Windows"),
        ("upstream:http://ann:hunter2@p", "linux", (12, 2, 3), True, "--upstream"),
        ("reverse", "linux", (12, 2, 3), True, "reverse:https://"),
        ("dns", "linux", (12, 2, 3), True, "regular"),
    ],
)
def test_modes_that_cannot_be(
    mode: str, platform: str, version: tuple[int, ...], root: bool, says: str
) -> None:
    """A mode that this platform or mitmproxy does not have is an error that says what to use."""
    with pytest.raises(AuditError, match=says) as caught:
        check_mode(mode, platform=platform, version=version, root=root)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "mode", ["regular", "regular@8081", "local:pwsh,!chrome", "socks5", "reverse:https://x.y"]
)
def test_modes_that_can_be(mode: str) -> None:
    """A usable mode goes to mitmproxy as it was written."""
    assert mode == check_mode(mode, platform="win32", version=(11, 0, 2), root=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.5", "pc17.example"])
def test_listening_beyond_this_machine_needs_a_password(host: str) -> None:
    """Every address but loopback demands proxy authentication."""
    with pytest.raises(AuditError, match="--proxy-auth"):
        check_listening(host, None)
    check_listening(host, "ann:secret")
    check_listening(host, "@/etc/htpasswd")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    """On loopback no password is asked for."""
    check_listening(host, None)


@pytest.mark.parametrize("authentication", ["ann", ":secret", "ann:", ""])
def test_bad_authentication(authentication: str) -> None:
    """A user without a password, or the reverse, is refused, unquoted."""
    with pytest.raises(AuditError, match="USER:PASSWORD"):
        check_listening("127.0.0.1", authentication)
