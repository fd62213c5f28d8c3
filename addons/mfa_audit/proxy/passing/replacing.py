"""Replacing methods of mitmproxy by our own for as long as a proxy of ours runs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Replacement:
    """`new` in place of `owner.name`; it gets the method that it replaces as its first argument."""

    owner: type
    name: str
    new: Callable[..., Any]

    @property
    def original(self) -> Callable[..., Any]:
        """What is there now: mitmproxy's own method as long as nothing is installed."""
        found: Callable[..., Any] = getattr(self.owner, self.name)
        return found


ALL: Final[list[Replacement]] = []


def replaces(owner: type, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated function as the replacement of `owner.name`, called as `new(original, self, ...)`.

    `tests/proxy/passing/test_replacing.py` holds the text of each replaced method, so that a mitmproxy that
    changed it is looked at before it is used.
    """

    def enter(new: Callable[..., Any]) -> Callable[..., Any]:
        ALL.append(Replacement(owner, name, new))
        return new

    return enter


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Put all replacements in place, and mitmproxy's own methods back at the end. Inside another, does nothing."""
    if any(hasattr(one.original, "replaced") for one in ALL):
        yield
        return
    with contextlib.ExitStack() as stack:
        for one in ALL:
            stack.callback(_put_back, one.owner, one.name, one.owner.__dict__.get(one.name))
            setattr(one.owner, one.name, _bind(one.original, one.new))
        yield


def _bind(original: Callable[..., Any], new: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return new(original, self, *arguments, **named)

    method.replaced = original  # type: ignore[attr-defined]
    return method


def _put_back(owner: type, name: str, before: Any) -> None:
    if before is None:  # it was inherited
        delattr(owner, name)
    else:
        setattr(owner, name, before)
