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

# Rows a statement. SQLite takes 32,766 values at once.
_MOST: Final = 64


def insert(connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
    """Run `head VALUES (…), (…) tail` for these rows, all of one length and none with a NULL at its start.

    Raises sqlite3.Error.
    """
    for start in range(0, len(rows), _MOST):
        part = rows[start : start + _MOST]
        columns = len(part[0])
        # A statement for each number of rows would take some MB of memory: these have powers of two, and the rows
        # that are too many are empty.
        size = 1 << (len(part) - 1).bit_length()
        values = [*chain.from_iterable(part), *[None] * (columns * (size - len(part)))]
        connection.execute(_statement(head, columns, size, tail), values)


@lru_cache(maxsize=64)
def _statement(head: str, columns: int, rows: int, tail: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{head} SELECT * FROM (VALUES {', '.join([row] * rows)}) WHERE column1 IS NOT NULL {tail}"  # noqa: S608
