"""Names, pseudonyms or numbers for people: what of a user is kept, or shown. Pure; the key comes from the
caller.

Verdicts must not depend on the choice, so that whatever the rule looks at keeps its shape: a user name
stays a user name that is not empty, and equal `oid` and `sub` stay equal.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.claims import CLAIMS, Privacy
from mfa_audit.judging.tokens import Token, User


class Mode(StrEnum):
    """How people are kept or shown: `--users name|pseudonym|none`."""

    NAME = "name"
    PSEUDONYM = "pseudonym"
    NONE = "none"


HIDDEN: Final = "(hidden)"
_MADE: Final = re.compile(r"user-[0-9a-f]{12}|\(hidden\)")


@dataclass(frozen=True, slots=True)
class People:
    """One choice for all people: `People()` keeps names, the others need a `key` of 16 bytes or more.

    For `pseudonym` the key is the user's (the same person has the same pseudonym in all his databases); for
    `none` it is the database's own, and never leaves it.
    """

    mode: Mode = Mode.NAME
    key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.mode is not Mode.NAME and len(self.key) < 16:
            raise ValueError("a key of 16 bytes or more is needed")

    def token(self, token: Token) -> Token:
        """The token with its identifying claims and its user as this choice wants them; its verdict is
        untouched."""
        if self.mode is Mode.NAME:
            return token
        return replace(token, claims=self.claims(token.claims), user=self.user(token.user))

    def claims(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        """The claims as this choice wants them; one that judging/claims.py does not name is left out."""
        kept = {}
        for name, value in claims.items():
            known = CLAIMS.get(name)
            if known is None:
                continue
            if self.mode is Mode.NAME or known.privacy is Privacy.PLAIN:
                kept[name] = value
            elif not isinstance(value, str) or not value.strip():
                continue
            elif self.mode is Mode.PSEUDONYM or known.privacy is Privacy.IDENTIFIER:
                kept[name] = self.alias(value)
            elif known.privacy is Privacy.USER_NAME:
                kept[name] = HIDDEN
        return kept

    def user(self, user: User | None) -> User | None:
        """The user as this choice wants him; with `none` only a keyed object id is left, to tell users
        apart."""
        if user is None or self.mode is Mode.NAME:
            return user
        name = None if self.mode is Mode.NONE or user.name is None else self.alias(user.name)
        own = user.object_id or user.name
        return User(user.tenant, None if own is None else self.alias(own), name)

    def program(self, program: Program | None) -> Program | None:
        """The program as this choice wants it: its account names a person or may do so."""
        if program is None or program.account is None:
            return program
        return program._replace(account=self.account(program.account))

    def account(self, name: str) -> str:
        """The name of a machine's account as this choice wants it."""
        return name if self.mode is Mode.NAME else self.alias(name)

    def alias(self, value: str) -> str:
        """A keyed pseudonym such as `user-3f9a2c1b77d0`; a pseudonym stays what it is."""
        if _MADE.fullmatch(value):
            return value
        digest = hmac.new(self.key, value.strip().lower().encode("utf-8", "replace"), hashlib.sha256)
        return f"user-{digest.hexdigest()[:12]}"

    def sign_in_id(self, value: str | None) -> str | None:
        """The id of a sign-in or token (`uti`) as this choice wants it; the same as `claims` makes of it."""
        if value is None or self.mode is Mode.NAME:
            return value
        return None if self.mode is Mode.NONE else self.alias(value)

    def label(self, user: User | None, number: int | None = None) -> str:
        """What to show for a stored user, by this choice; `number` is used where no name may be shown."""
        if user is None:
            return "no user"
        if self.mode is Mode.NONE:
            return "a user" if number is None else f"user {number}"
        shown = user.name or user.object_id
        if shown is None or shown == HIDDEN:
            return "a user" if number is None else f"user {number}"
        return shown if self.mode is Mode.NAME else self.alias(shown)

    def labels(self, users: Iterable[User]) -> Callable[[User], str]:
        """How these users are shown in one report: where only by numbers, a number is the same person everywhere."""
        persons = sorted({_person(user) for user in users})
        numbers = {person: number for number, person in enumerate(persons, 1)}
        return lambda user: self.label(user, numbers.get(_person(user)))


def _person(user: User) -> tuple[str, str]:
    return user.tenant or "", user.object_id or user.name or ""


NAMES: Final = People()
