"""Sessions and their gaps, read from an audit database."""

from __future__ import annotations

import sqlite3

from mfa_audit.store.ledger import GapFacts, SessionFacts


def session_facts(connection: sqlite3.Connection) -> list[SessionFacts]:
    """The sessions in `temp.chosen`, with their requests in `temp.uses`, by their start."""
    return [
        SessionFacts(
            uuid=uuid,
            kind=kind,
            source=source,
            sha256=sha256,
            machine=machine,
            account=account,
            version=version,
            started=started / 1000,
            last_beat=last_beat / 1000,
            ended=None if ended is None else ended / 1000,
            ended_how=ended_how,
            validate=bool(validate),
            enforce=bool(enforce),
            lost=lost,
            programs_denied=denied,
            folded=folded,
            requests=requests,
            sanitised=sanitised,
        )
        for (
            uuid, kind, source, sha256, machine, account, version, started, last_beat, ended, ended_how,
            validate, enforce, lost, denied, folded, sanitised, requests,
        ) in connection.execute(
            "SELECT uuid, kind, source, sha256, machines.shown, account, version, started, last_beat, ended, ended_how,"
            " validate, enforce, lost, programs_denied, folded, sanitised,"
            " ifnull(requests, 0) FROM sessions JOIN temp.chosen USING (id)"
            " JOIN temp.machines ON machines.session = sessions.id LEFT JOIN"
            " (SELECT session_id, sum(calls) AS requests FROM temp.uses WHERE listed GROUP BY session_id)"
            " ON session_id = sessions.id ORDER BY started"
        )
    ]  # fmt: skip


def gap_facts(connection: sqlite3.Connection) -> list[GapFacts]:
    """The gaps of the sessions in `temp.chosen`, by their start."""
    return [
        GapFacts(session, started / 1000, ended / 1000, reason, lost)
        for session, started, ended, reason, lost in connection.execute(
            "SELECT uuid, gaps.started, gaps.ended, gaps.reason, gaps.lost FROM gaps"
            " JOIN sessions ON sessions.id = gaps.session_id JOIN temp.chosen ON chosen.id = sessions.id"
            " ORDER BY gaps.started"
        )
    ]
