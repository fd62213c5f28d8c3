"""The likely cause and the fix, by what was seen."""

from __future__ import annotations

from typing import Any

import pytest

from mfa_audit.judging import advice
from mfa_audit.judging.advice import Advice, advise
from mfa_audit.judging.verdicts import REASONS, Verdict


@pytest.mark.parametrize(
    ("reasons", "claims", "expected"),
    [
        (["amr-without-mfa"], {"amr": ["pwd"], "appidacr": "0"}, advice.SAVED_PASSWORD),
        (["amr-without-mfa"], {"amr": "PWD"}, advice.SAVED_PASSWORD),
        (["amr-without-mfa"], {"amr": ["pwd"], "appidacr": "1"}, advice.OLD_CONSENT),
        (["blocked", "amr-without-mfa"], {"amr": ["pwd"], "azpacr": 2}, advice.OLD_CONSENT),
        (["amr-without-mfa"], {"amr": ["wia"]}, advice.FEDERATED),
        (["amr-without-mfa"], {"amr": ["pwd", "fed"]}, advice.FEDERATED),
        (["amr-without-mfa"], {"amr": ["rsa"]}, advice.NO_MFA),
        (["never-accepted", "amr-without-mfa"], {"amr": ["pwd"]}, advice.SAVED_PASSWORD),
        (["amr-missing"], {}, advice.NO_METHODS),
        (["blocked", "amr-missing"], {}, advice.NO_METHODS),
        (["amr-missing-v2", "server-says-yes"], {}, advice.NO_METHODS),
        (["retired-audience"], {}, advice.RETIRED),
        (["wrong-audience"], {}, advice.WRONG_AUDIENCE),
        (["blocked"], {}, advice.BLOCKED),
        (["server-says-no", "mfa"], {}, advice.SERVER_SAYS_NO),
        (["recently-changed", "amr-without-mfa"], {"amr": ["pwd"]}, advice.RECENTLY_CHANGED),
        (["never-accepted", "mfa"], {}, advice.NEVER_ACCEPTED),
        (["opaque"], {}, advice.UNREADABLE),
    ],
)
def test_advice_by_what_is_seen(reasons: list[str], claims: dict[str, Any], expected: Advice) -> None:
    """Each row of the table of causes leads to its own advice."""
    assert expected == advise(REASONS[reasons[0]].verdict, reasons, [claims])


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
    assert len(every) > 10
    assert not [
        one for one in every if "security defaults" in one.text.lower() or "turn off" in one.text.lower()
    ]
