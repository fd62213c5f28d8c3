"""From an Exchange to what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Exchange, Program, Secret
from mfa_audit.judging import observations, server, tokens
from mfa_audit.judging.observations import Judge, Observation
from mfa_audit.judging.people import Mode, People
from mfa_audit.judging.reasons import REASONS
from mfa_audit.judging.tokens import Token

TOKEN = make_user_token("pwd", exp=1_000).encode()
GUID = "5B4D1F6E-8ddb-461a-bbee-02f9e1bf7b46"


def exchange(**changed: Any) -> Exchange:
    plain = {
        "at": 500.0,
        "method": "GET",
        "host": "api.partnercenter.microsoft.com",
        "path": "/v1/customers/contoso",
        "authorization": (Secret(b"Bearer " + TOKEN),),
        "status": 200,
    }
    return Exchange(**{**plain, **changed})


def observe(**changed: Any) -> Observation:
    return Judge().observe(exchange(**changed))


def test_a_call_is_kept_without_its_token() -> None:
    """Who, what, the verdict and the server's answer are kept; nothing of the raw token is."""
    kept = observe(
        program=Program("nightly.ps1"),
        user_agent="CIPP/8 (user:a@b.example)",
        request_id=GUID,
        mfa_compliant="false",
    )
    assert ("amr-without-mfa", "GET /v1/customers/*", Program("nightly.ps1")) == (
        kept.token.reason,
        kept.operation,
        kept.program,
    )
    assert "5d2b6f60-0000-4000-8000-0000000c1133" == kept.client.app_id
    assert "CIPP/8 (user:<email>)" == kept.client.user_agent
    assert (True, False, False) == (kept.accepted, kept.blocked, kept.server)
    assert GUID.lower() == kept.request_id
    raw = TOKEN.split(b".", 1)[1].decode()
    assert not any(raw[at : at + 16] in repr(kept) for at in range(len(raw) - 15))


@pytest.mark.parametrize(
    ("tested", "status", "blocked", "by_test"),
    [
        (False, 401, True, False),
        (True, 401, False, True),
        (False, 403, True, False),
        (True, 403, False, True),
    ],
)
def test_refusals(tested: bool, status: int, blocked: bool, by_test: bool) -> None:
    """A refusal because MFA was missing is a test's where the request asked for it, and the server's own otherwise."""
    kept = observe(status=status, body=b'{"code":900421}', tested=tested)
    assert (blocked, by_test) == (kept.blocked, kept.blocked_by_test)


@pytest.mark.parametrize(("at", "expired"), [(1_300.0, False), (1_300.5, True), (999.0, False)])
def test_expired_belongs_to_the_call(at: float, expired: bool) -> None:
    """More than five minutes past exp, the call used an expired token; the verdict stays."""
    kept = observe(at=at)
    assert (expired, "amr-without-mfa") == (kept.expired, kept.token.reason)


@pytest.mark.parametrize("value", [None, "", "1", "john@contoso.example", GUID + "0", GUID + "\n" + GUID])
def test_ids_that_are_no_guids_are_dropped(value: str | None) -> None:
    """Request and correlation ids are kept only when they are GUIDs."""
    kept = observe(request_id=value, correlation_id=value)
    assert (None, None) == (kept.request_id, kept.correlation_id)


def test_a_token_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a token is sent, it is decoded once, and the cache is bounded."""
    read = tokens.read
    seen: list[Token] = []

    def read_and_count(values: Sequence[Secret]) -> Token:
        seen.append(read(values))
        return seen[-1]

    monkeypatch.setattr(tokens, "read", read_and_count)
    monkeypatch.setattr(observations, "MOST_TOKENS", 2)
    judge = Judge()
    for value in (b"a", b"a", b"b", b"a", b"c", b"a", b"b"):
        judge.observe(exchange(authorization=(Secret(b"Bearer " + value),)))
    assert 4 == len(seen)


def test_clients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of User-Agents does not fill the memory, and equal ones give the same Client."""
    monkeypatch.setattr(observations, "MOST_CLIENTS", 2)
    judge = Judge()
    first = [judge.observe(exchange(user_agent=f"x/{n % 3}")).client for n in range(9)]
    assert 3 == len(set(first))


@pytest.mark.parametrize("part", ["read", "server", "people"])
def test_a_bug_of_ours_costs_no_call(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error inside judging is counted, and the call recorded as judged in vain."""

    def fail(*_: object) -> None:
        raise RuntimeError(TOKEN.decode())

    judge = Judge()
    if part == "read":
        monkeypatch.setattr(tokens, "read", fail)
    elif part == "server":
        monkeypatch.setattr(server, "accepted", fail)
    else:
        monkeypatch.setattr(People, "token", fail)
    kept = judge.observe(exchange())
    assert ("judging-failed", 1, 200) == (kept.token.reason, judge.failures, kept.status)


def test_people_are_hidden_from_the_start() -> None:
    """A Judge with pseudonyms lets no name out, and judges the same."""
    kept = Judge(People(Mode.PSEUDONYM, b"k" * 32)).observe(exchange())
    assert "dana" not in repr(kept).lower()
    assert "amr-without-mfa" == kept.token.reason


def test_a_call_without_token() -> None:
    """No Authorization gives the token that stands for none."""
    assert "no-token" == observe(authorization=()).token.reason


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Exchange,
        at=st.floats(allow_nan=False),
        method=st.text(max_size=9),
        host=st.text(max_size=9),
        path=st.text(max_size=40),
        authorization=st.lists(st.binary(max_size=40).map(Secret), max_size=3).map(tuple),
        user_agent=st.none() | st.text(max_size=40),
        application=st.none() | st.text(max_size=40),
        request_id=st.none() | st.text(max_size=40),
        status=st.none() | st.integers(-1, 1000),
        reason_phrase=st.text(max_size=20),
        mfa_compliant=st.none() | st.text(max_size=9),
        www_authenticate=st.none() | st.text(max_size=20),
        body=st.none() | st.binary(max_size=60),
    )
)
def test_any_exchange_is_observed(call: Exchange) -> None:
    """Whatever a call looks like, it is observed without a failure."""
    judge = Judge()
    kept = judge.observe(call)
    assert 0 == judge.failures
    assert REASONS[kept.token.reason].verdict is kept.token.verdict
