"""Inserting several rows in one step.

Around each step of SQLite a thread gives up Python's interpreter lock, and may wait a whole switch interval (5 ms) to
get it back from a busy event loop. So the rows of a transaction are one step, and not one each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

# Rows a statement. SQLite takes 32,766 values at once; each number of rows is a statement of its own to prepare.
_MOST: Final = 50


def insert(connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
    """Run `head VALUES (…), (…) tail` for these rows, all of one length. Raises sqlite3.Error."""
    for start in range(0, len(rows), _MOST):
        part = rows[start : start + _MOST]
        connection.execute(_statement(head, len(part[0]), len(part), tail), list(chain.from_iterable(part)))


@lru_cache(maxsize=4 * _MOST)
def _statement(head: str, columns: int, rows: int, tail: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{head} VALUES {', '.join([row] * rows)} {tail}"
