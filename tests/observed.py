"""Observations as the recorder gets them, and databases with some in them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Exchange, Secret
from mfa_audit.judging.observations import Judge, Observation
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session

HOST = "api.partnercenter.microsoft.com"
_judge = Judge()


def observe(
    at: float | None = None,
    *,
    amr: Sequence[str] = ("pwd", "mfa"),
    token: str | None = None,
    with_token: bool = True,
    path: str = "/v1/customers",
    status: int | None = 200,
    claims: dict[str, Any] | None = None,
    **parts: Any,
) -> Observation:
    """One call, judged as a live one would be; `parts` are further fields of the Exchange, such as `user_agent`."""
    value = token or make_user_token(*amr, **(claims or {}))
    return _judge.observe(
        Exchange(
            at=time.time() if at is None else at,
            method="GET",
            host=HOST,
            path=path,
            authorization=(Secret(f"Bearer {value}".encode()),) if with_token else (),
            status=status,
            **{"user_agent": "tool/1.0", "program": None, **parts},
        )
    )


def fill(
    path: Path,
    observations: Sequence[Observation],
    *,
    kind: str = "proxy",
    started: float | None = None,
    how: str | None = "stopped",
) -> Session:
    """Write these as one session of its own that ended now (`how` None: it was killed)."""
    began = min((one.at for one in observations), default=time.time()) if started is None else started
    recording = Recording(path, Session(kind, began), "NORMAL")
    recording.transact(observations, [])
    if how is not None:
        recording.sign(how, lost=0, late=0, programs_denied=0)
    recording.close()
    return recording.session


def query(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What an SQL query returns from the file."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(sql, values).fetchall()
        connection.commit()
        return found
