"""The rule as the design first said it (its lines a to c), written apart from the present one to compare with it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

from months.calendars import DAY, HOUR
from months.older_rules import TokenUse, use_tokens
from months.rows import Row


def judge_designed(row: Row, now: float) -> str:
    """The verdict on a row, the worst of its credentials'."""
    by_schedule = row.specific and row.place.started_by is not None
    by_credential: dict[Hashable, list[TokenUse]] = {}
    for use in use_tokens(row.between(row.recorder.start_of_days(40, now), now)):
        key = (use.token.app, use.token.user) if use.token.readable else None
        by_credential.setdefault(key, []).append(use)
    spans = sorted(
        (min(use.first for use in uses), max(use.last for use in uses)) for uses in by_credential.values()
    )
    one_at_a_time = all(before[1] < after[0] for before, after in pairwise(spans))
    verdicts = set()
    for uses in by_credential.values():
        bad = sorted(at for use in uses for at in use.bad)
        fine = [use for use in uses if _is_fine(use)]
        if not bad:
            verdicts.add("compliant" if fine else "undetermined")
            continue
        if one_at_a_time:
            fine += [
                use
                for others in by_credential.values()
                if min(other.first for other in others) > bad[-1]
                for use in others
                if _is_fine(use)
            ]
        after = [use for use in fine if use.token.issued > bad[-1]]
        issued = [use.token.issued for use in after]
        if not issued or row.captured:
            verdicts.add("undetermined" if issued else "non-compliant")
        elif max(issued) - min(issued) < DAY:
            verdicts.add("undetermined")
        elif by_schedule and not any(use.last > bad[0] and use.first < bad[-1] for use in fine):
            verdicts.add("compliant")
        else:
            watched = row.recorder.days(bad[-1], now)
            verdicts.add("compliant" if watched >= _wait(bad, after) else "undetermined")
    return next(one for one in ("non-compliant", "undetermined", "compliant") if one in verdicts)


def _is_fine(use: TokenUse) -> bool:
    return use.is_good or (use.token.is_apps_own and use.token.readable and use.accepted)


def _wait(bad: Sequence[float], good: Sequence[TokenUse]) -> float:
    waits = [_wait_of({int(at // DAY) for at in bad})]
    hours: dict[int, set[int]] = {}
    for at in bad:
        hours.setdefault(int(at // HOUR) % 24, set()).add(int(at // DAY))
    for hour, days in hours.items():
        near = {int(use.last // DAY) for use in good if (int(use.last // HOUR) - hour + 1) % 24 <= 2}
        if len(near) < 2:
            waits.append(_wait_of(days))
    return max(waits)


def _wait_of(bad_days: set[int]) -> float:
    days = sorted(bad_days)
    if len(days) < 3 or days[-1] - days[0] < 7:
        return 40
    pause = max(after - before for before, after in pairwise(days))
    return max(8, min(2 * pause + 1, pause + 10))
