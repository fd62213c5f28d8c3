"""A simulated world as real Exchanges, judged and stored in a database, and what the real report says of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_DNS, uuid5

from mfa_audit.commands.demo.sample_tokens import make_app_token, make_user_token
from mfa_audit.exchanges.exchange import Exchange, Program, Secret
from mfa_audit.judging.naming import product_of
from mfa_audit.judging.observations import Judge
from mfa_audit.reports.model import Period, Report, ToolRow
from mfa_audit.reports.settings import Settings
from mfa_audit.reports.summary import summarise
from mfa_audit.reports.tool_rows import needs_times, parties_of
from mfa_audit.store.reading import Wanted, read_ledger
from mfa_audit.store.session_writer import Recording, insert_gap
from mfa_audit.store.sessions import Session
from months.figures import LISTED
from months.partners import Call
from months.rows import Row, app_id_of, tool_of
from months.scenes import World

START: Final = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
RECORDER: Final = "recorder"


def store(world: World, path: Path, until: float) -> None:
    """Writes what was recorded before that moment: a session each time that a recorder ran, and the captures."""
    judge = Judge()
    for machine, recorder in world.recorders.items():
        live = [call for call in world.recorded if call.source is None and call.place.machine == machine]
        for start, stop in recorder.on:
            if start >= until:
                continue
            end = min(stop, until)
            session = Session("proxy", START + start, machine=machine, account=RECORDER)
            recording = Recording(path, session, "NORMAL")
            seen = [judge.observe(exchange_of(call)) for call in live if start <= call.at < end]
            recording.transact(seen, [])
            for first, last in recorder.lost:
                if start <= first < end:
                    insert_gap(
                        recording.rows,
                        started=START + first,
                        ended=START + min(last, end),
                        reason="behind",
                        lost=1,
                    )
            recording.connection.commit()
            recording.close()
            _end(path, session, end)
    for name in sorted({call.source for call in world.recorded if call.source}):
        captured = [call for call in world.recorded if call.source == name and call.at < until]
        if captured:
            session = Session(
                "import", START + captured[0].at, source=f"{name}.har", sha256=sha256(name.encode()).hexdigest(),
                machine=captured[0].place.machine, account=RECORDER,
            )  # fmt: skip
            recording = Recording(path, session, "NORMAL")
            recording.transact([judge.observe(exchange_of(call)) for call in captured], [])
            recording.close()
            _end(path, session, captured[-1].at)
    assert judge.failures == 0


def _end(path: Path, session: Session, at: float) -> None:
    """The recorder stopped at that moment, and not now."""
    moment = round((START + at) * 1000)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE sessions SET last_beat = ?, ended = ?, ended_how = 'stopped' WHERE uuid = ?",
            [moment, moment, session.uuid],
        )


def report_of(path: Path, until: float) -> Report:
    """The report that would have been made at that moment."""
    now = START + until
    settings = Settings()
    period = Period(datetime.fromtimestamp(now - LISTED, UTC), datetime.fromtimestamp(now, UTC))
    ledger = read_ledger(path, Wanted(now - LISTED, now), parties_of(settings, needs_times))
    return summarise(ledger, period, [str(path)], now=now, settings=settings)


def name_of_row(row: Row) -> tuple[str | None, ...]:
    """What tells a simulated row from others, as `name_of_tool_row` does it."""
    call = row.calls[0]
    place, tool = row.place, tool_of(call)
    return (
        place.machine,
        None if call.source is None else f"{call.source}.har",
        place.program,
        place.started_by,
        RECORDER if place.program is None or place.started_by is None else place.account,
        *((None, None) if row.specific else (tool.app_id, tool.product)),
    )


def name_of_tool_row(row: ToolRow) -> tuple[str | None, ...]:
    """What tells a row of the report from others."""
    product = product_of(row.user_agents[0]) if row.user_agents else None
    return (
        row.machine,
        row.capture,
        row.program,
        row.started_by,
        row.account,
        *((None, None) if row.specific else (row.app_id, product and product.name)),
    )


def exchange_of(call: Call) -> Exchange:
    """The HTTP call, with a whole token."""
    place, told = call.place, call.refused and call.told
    program = None
    if place.program is not None:
        known = place.started_by is not None
        program = Program(place.program, place.account if known else None, place.started_by)
    return Exchange(
        at=START + call.at,
        method="GET",
        host="api.partnercenter.microsoft.com",
        path="/v1/customers",
        authorization=(Secret(f"Bearer {token_of(call)}".encode()),),
        user_agent=call.agent,
        status=call.status,
        body=(b'{"code": 900421}' if told else b'{"code": 401}') if call.refused else None,
        mfa_compliant=None if call.word is None else str(call.word).lower(),
        program=program,
        tested=call.tested,
        own_id=True,
    )


def token_of(call: Call) -> str:
    """The access token that it carries."""
    token = call.token
    if not token.readable:
        return "opaque" + sha256(str(token.number).encode()).hexdigest()
    times = {
        "iat": int(START + token.issued),
        "nbf": int(START + token.issued),
        "exp": int(START + token.expires),
    }
    app = {"appid": app_id_of(token.app), "uti": f"token-{token.number}", **times}
    if token.is_apps_own:
        return make_app_token(**app)
    name = f"{token.user}@contoso.example"
    methods = ("pwd", "mfa") if token.mfa else ("pwd",)
    return make_user_token(
        *methods, oid=str(uuid5(NAMESPACE_DNS, token.user)), upn=name, unique_name=name, **app
    )
