"""The likely cause and the fix, by what was seen."""

from __future__ import annotations

from typing import Any

import pytest

from mfa_audit.judging import advice
from mfa_audit.judging.advice import advise
from mfa_audit.judging.reasons import REASONS, Advice, Verdict, verdict_of


def row(reason: str) -> Advice | None:
    """The reason's own advice."""
    return REASONS[reason].advice


@pytest.mark.parametrize(
    ("reasons", "claims", "expected"),
    [
        (["amr-without-mfa"], {"amr": ["pwd"], "appidacr": "0"}, advice.SAVED_PASSWORD),
        (["amr-without-mfa"], {"amr": "PWD"}, advice.SAVED_PASSWORD),
        (["amr-without-mfa"], {"amr": ["pwd"], "appidacr": "1"}, advice.OLD_CONSENT),
        (["blocked", "amr-without-mfa"], {"amr": ["pwd"], "azpacr": 2}, advice.OLD_CONSENT),
        (["amr-without-mfa"], {"amr": ["wia"]}, advice.FEDERATED),
        (["amr-without-mfa"], {"amr": ["pwd", "fed"]}, advice.FEDERATED),
        (["amr-without-mfa"], {"amr": ["rsa"]}, row("amr-without-mfa")),
        (["amr-missing"], {}, row("amr-missing")),
        (["blocked", "amr-missing"], {}, row("amr-missing")),
        (["amr-missing-v2", "server-says-yes"], {}, row("amr-missing-v2")),
        (["blocked"], {}, row("blocked")),
        (["server-says-no", "mfa"], {}, row("server-says-no")),
        (["recently-changed", "amr-without-mfa"], {"amr": ["pwd"]}, row("recently-changed")),
        (["blocked", "side-by-side"], {}, row("side-by-side")),
        # Advice never blames a token that was not looked at.
        (["not-reached", "mfa"], {}, row("not-reached")),
        (["expired", "amr-without-mfa"], {"amr": ["pwd"]}, row("expired")),
        (["a-reason-of-a-newer-version"], {}, None),
    ],
)
def test_advice_by_what_is_seen(reasons: list[str], claims: dict[str, Any], expected: Advice | None) -> None:
    """Each reason leads to its own advice, and what the claims tell to a nearer one."""
    assert expected == advise(verdict_of(reasons[0]), reasons, [claims])


@pytest.mark.parametrize(
    "reason", [reason for reason in REASONS if REASONS[reason].verdict is Verdict.UNDETERMINED]
)
def test_each_undetermined_reason_has_advice(reason: str) -> None:
    """Whoever cannot be told an answer is told what to do, without claims too."""
    given = advise(Verdict.UNDETERMINED, [reason], [])
    assert given is not None
    assert given.link.startswith("https://learn.microsoft.com/partner-center/")
    assert given.text == f"{given.cause}. {given.fix}. {given.link}"


@pytest.mark.parametrize("verdict", [Verdict.COMPLIANT, Verdict.EXEMPT])
def test_nothing_to_do(verdict: Verdict) -> None:
    """With MFA, and app-only, nothing is advised."""
    assert None is advise(verdict, ["mfa"], [{}])


def test_no_advice_is_to_weaken_anything() -> None:
    """Turning off security defaults is not a fix, and no advice says so."""
    every = [value for value in vars(advice).values() if isinstance(value, Advice)]
    every += [one.advice for one in REASONS.values() if one.advice is not None]
    assert len(every) > 10
    assert not [
        one for one in every if "security defaults" in one.text.lower() or "turn off" in one.text.lower()
    ]
