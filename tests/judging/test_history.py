"""Now and before: what a user's uses of tokens come to."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from mfa_audit.judging.history import Previously, Standing, Use, stand, worst
from mfa_audit.judging.reasons import REASONS, Verdict

HOUR = 3600.0
DAY = 24 * HOUR


def use(reason: str, day: float, *, last: float | None = None, requests: int = 10, **further: object) -> Use:
    """One accepted token of this reason, issued on that day and used until `last` (a day; else an hour)."""
    start = day * DAY
    plain = Use(
        verdict=REASONS[reason].verdict,
        reason=reason,
        user=None,
        tokens=1,
        issued=(start, start),
        first=start,
        last=start + HOUR if last is None else last * DAY,
        requests=requests,
        accepted=requests,
        blocked=0,
        blocked_by_test=0,
        expired=0,
        server_compliant=0,
        server_non_compliant=0,
        imported=False,
    )
    return replace(plain, **further)  # type: ignore[arg-type]


BAD = use("amr-without-mfa", 1)


def verdict_of(*uses: Use, strict: bool = False) -> tuple[str, tuple[str, ...]]:
    standing = stand(uses, strict=strict)
    return str(standing.verdict), standing.reasons


@pytest.mark.parametrize(
    ("one", "verdict", "reasons"),
    [
        (use("mfa", 1), "compliant", ("mfa",)),
        (use("app-only", 1), "exempt", ("app-only",)),
        (BAD, "non-compliant", ("amr-without-mfa",)),
        (use("opaque", 1), "undetermined", ("opaque",)),
        # The server's refusal beats everything.
        (use("mfa", 1, blocked=1), "non-compliant", ("blocked",)),
        (use("mfa", 1, blocked=9, accepted=0), "non-compliant", ("blocked",)),
        (use("app-only", 1, blocked=1), "non-compliant", ("blocked",)),
        (use("amr-without-mfa", 1, blocked=1), "non-compliant", ("blocked", "amr-without-mfa")),
        (use("mfa", 1, blocked=1, server_compliant=3), "non-compliant", ("blocked", "server-says-yes")),
        (
            use("amr-without-mfa", 1, blocked_by_test=5, accepted=0),
            "non-compliant",
            ("blocked-by-test", "amr-without-mfa"),
        ),
        # isMfaCompliant: false.
        (use("mfa", 1, server_non_compliant=1), "non-compliant", ("server-says-no", "mfa")),
        (use("mfa", 1, server_non_compliant=1, accepted=0), "non-compliant", ("server-says-no", "mfa")),
        (
            use("opaque", 1, server_non_compliant=1, server_compliant=9),
            "non-compliant",
            ("server-says-no", "opaque", "server-says-yes"),
        ),
        # isMfaCompliant: true decides only for what cannot be read.
        (use("opaque", 1, server_compliant=1), "compliant", ("opaque", "server-says-yes")),
        (use("encrypted", 1, server_compliant=1), "compliant", ("encrypted", "server-says-yes")),
        (use("redacted", 1, server_compliant=1), "compliant", ("redacted", "server-says-yes")),
        (
            use("amr-without-mfa", 1, server_compliant=1),
            "non-compliant",
            ("amr-without-mfa", "server-says-yes"),
        ),
        (use("amr-missing-v2", 1, server_compliant=1), "undetermined", ("amr-missing-v2", "server-says-yes")),
        (use("opaque", 1, server_compliant=1, accepted=0), "undetermined", ("opaque", "never-accepted")),
        # Never accepted.
        (use("mfa", 1, accepted=0), "undetermined", ("never-accepted", "mfa")),
        (use("amr-without-mfa", 1, accepted=0), "undetermined", ("never-accepted", "amr-without-mfa")),
        (use("app-only", 1, accepted=0), "undetermined", ("never-accepted", "app-only")),
    ],
)
def test_what_one_use_proves(one: Use, verdict: str, reasons: tuple[str, ...]) -> None:
    """The server's word, acceptance and the token's own verdict are weighed in that order."""
    assert (verdict, reasons) == verdict_of(one)


@pytest.mark.parametrize(
    ("uses", "verdict"),
    [
        # Mended: two good tokens a day or more apart, after the last bad call.
        ([BAD, use("mfa", 2), use("mfa", 3)], "compliant"),
        ([BAD, use("mfa", 2), use("mfa", 2.5), use("mfa", 3)], "compliant"),
        ([BAD, use("mfa", 2, issued=(2 * DAY, 3 * DAY), tokens=5)], "compliant"),
        ([BAD, use("mfa", 2), use("opaque", 2, server_compliant=1, issued=(3 * DAY, 3 * DAY))], "compliant"),
        ([use("mfa", 1, blocked=1), use("mfa", 2), use("mfa", 3)], "compliant"),
        ([use("mfa", 1, server_non_compliant=1), use("mfa", 2), use("ngcmfa", 3)], "compliant"),
        # One good token so far, or several of one day.
        ([BAD, use("mfa", 2)], "undetermined"),
        ([BAD, use("mfa", 2), use("mfa", 2.9)], "undetermined"),
        # Good tokens that are older than the last bad call, are not accepted, or are no MFA tokens.
        ([use("amr-without-mfa", 1, last=9), use("mfa", 2), use("mfa", 8)], "non-compliant"),
        ([use("amr-without-mfa", 1, last=2.5), use("mfa", 2), use("mfa", 3)], "undetermined"),
        ([use("mfa", 1), use("mfa", 2), use("amr-without-mfa", 3)], "non-compliant"),
        ([BAD, use("mfa", 2, accepted=0), use("mfa", 3, accepted=0)], "non-compliant"),
        ([BAD, use("mfa", 2), use("mfa", 3, accepted=0)], "undetermined"),
        ([BAD, use("app-only", 2), use("app-only", 3)], "non-compliant"),
        ([BAD, use("mfa", 2), use("mfa", 3, blocked=1)], "non-compliant"),
        # Imported evidence does not mend what was recorded live.
        ([BAD, use("mfa", 2, imported=True), use("mfa", 3, imported=True)], "non-compliant"),
        ([BAD, use("mfa", 2), use("mfa", 3, imported=True)], "undetermined"),
        (
            [replace(BAD, imported=True), use("mfa", 2, imported=True), use("mfa", 3, imported=True)],
            "compliant",
        ),
        ([replace(BAD, imported=True), use("mfa", 2), use("mfa", 3)], "compliant"),
        ([replace(BAD, imported=True), use("mfa", 2), use("mfa", 3, imported=True)], "undetermined"),
        # Nothing bad.
        ([use("mfa", 1), use("opaque", 2)], "undetermined"),
        ([use("mfa", 1), use("app-only", 2)], "compliant"),
        ([use("mfa", 1), use("amr-without-mfa", 2, accepted=0)], "compliant"),
        ([BAD, use("mfa", 2), use("mfa", 3), use("opaque", 4)], "undetermined"),
        ([], "undetermined"),
    ],
)
def test_what_uses_come_to(uses: list[Use], verdict: str) -> None:
    """Bad calls decide unless two lasting good tokens follow them; the order of the rows does not matter."""
    for order in permutations(uses):
        assert verdict == stand(order).verdict


def test_what_was_before_is_told() -> None:
    """A mended tool says until when and how often it called without MFA; a changing one since when."""
    second = use("amr-missing", 1.5, requests=7)
    assert Standing(Verdict.COMPLIANT, ("mfa",), Previously(Verdict.NON_COMPLIANT, second.last, 17)) == stand(
        [BAD, second, use("mfa", 2), use("mfa", 3)]
    )
    changing = stand([BAD, use("mfa", 2.2), use("mfa", 2)])
    assert ("recently-changed", "amr-without-mfa") == changing.reasons
    assert (2 * DAY, BAD.last) == (
        changing.recently_changed_since,
        changing.previously and changing.previously.until,
    )
    assert None is stand([BAD]).previously


def test_strict_mends_nothing() -> None:
    """With strict any bad call in the period is a non-compliant tool."""
    assert ("non-compliant", ("amr-without-mfa",)) == verdict_of(
        BAD, use("mfa", 2), use("mfa", 3), strict=True
    )
    assert ("compliant", ("mfa",)) == verdict_of(use("mfa", 2), strict=True)


def test_the_worst_user_decides() -> None:
    """A program has the verdict and reasons of its worst user, and what was before unless it still is."""
    good, bad = stand([use("mfa", 1)]), stand([BAD])
    mended = stand([BAD, use("mfa", 2), use("mfa", 3)])
    changing, exempt = stand([BAD, use("mfa", 2)]), stand([use("app-only", 1)])
    assert bad == worst([good, mended, bad, changing])
    assert Standing(
        Verdict.UNDETERMINED, changing.reasons, Previously(Verdict.NON_COMPLIANT, BAD.last, 20), 2 * DAY
    ) == worst([good, mended, changing])
    assert mended == worst([exempt, mended, good])
    assert exempt == worst([exempt])
    assert Standing(Verdict.UNDETERMINED, (), None) == worst([])
