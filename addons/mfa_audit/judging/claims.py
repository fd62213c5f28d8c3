"""Every claim that is kept of a token: what it is for, and whom it identifies. Nothing else of a payload is stored.

This table is the only place to add one. What may be stored, what `--users` hides and the table in docs/data.md
follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Privacy(StrEnum):
    """What a claim gives away of a person, and so what `--users pseudonym` and `--users none` leave of it.

    A verdict must not depend on that choice. So where the rule looks at a claim, something is left of it.
    """

    PLAIN = "plain"  # of the token, the app or the tenant: always kept
    PERSON = "identifies a person"  # pseudonym; gone with none
    USER_NAME = "names the user"  # pseudonym; "(hidden)" with none, since the rule asks whether there is one
    IDENTIFIER = "identifies an account"  # a keyed pseudonym with both, since the rule compares two of them


@dataclass(frozen=True, slots=True)
class Claim:
    """One kept claim: its name, what it is for, in a few words, and its privacy class.

    Raises TypeError without a class: a claim nobody has thought about is not stored.
    """

    name: str
    purpose: str
    privacy: Privacy

    def __post_init__(self) -> None:
        if not isinstance(self.privacy, Privacy):
            raise TypeError(f"the claim {self.name} has no privacy class")


_ROWS: Final = (
    Claim("aud", "what the token is for", Privacy.PLAIN),
    Claim("iss", "who issued it", Privacy.PLAIN),
    Claim("ver", "Entra's format, 1.0 or 2.0", Privacy.PLAIN),
    Claim("tid", "the tenant", Privacy.PLAIN),
    Claim("tenant_region_scope", "the tenant's region", Privacy.PLAIN),
    Claim("appid", "the client application (v1.0)", Privacy.PLAIN),
    Claim("azp", "the client application (v2.0)", Privacy.PLAIN),
    Claim("appidacr", "how the client proved itself (v1.0)", Privacy.PLAIN),
    Claim("azpacr", "how the client proved itself (v2.0)", Privacy.PLAIN),
    Claim("app_displayname", "the client application's name", Privacy.PLAIN),
    Claim("amr", "how the user signed in", Privacy.PLAIN),
    Claim("acr", "how strong the sign-in was, in old tokens", Privacy.PLAIN),
    Claim("acrs", "authentication contexts that were satisfied", Privacy.PLAIN),
    Claim("scp", "permissions of a user's token", Privacy.PLAIN),
    Claim("roles", "permissions of an app's own token", Privacy.PLAIN),
    Claim("idtyp", "whether a user or an app is behind it", Privacy.PLAIN),
    Claim("oid", "the account", Privacy.IDENTIFIER),
    Claim("sub", "the account, for this application", Privacy.IDENTIFIER),
    Claim("upn", "the user's sign-in name", Privacy.USER_NAME),
    Claim("unique_name", "the user's name (v1.0)", Privacy.USER_NAME),
    Claim("preferred_username", "the user's name (v2.0)", Privacy.USER_NAME),
    Claim("name", "the user's display name", Privacy.PERSON),
    Claim("family_name", "the user's family name", Privacy.PERSON),
    Claim("given_name", "the user's given name", Privacy.PERSON),
    Claim("ipaddr", "where the user signed in", Privacy.PERSON),
    Claim("uti", "the id of the token in Entra's sign-in log", Privacy.PERSON),
    Claim("iat", "issued", Privacy.PLAIN),
    Claim("nbf", "valid from", Privacy.PLAIN),
    Claim("exp", "expires", Privacy.PLAIN),
)
CLAIMS: Final[Mapping[str, Claim]] = {claim.name: claim for claim in _ROWS}

# No app-only token has one of these. In the order in which one is chosen to be shown.
USER_NAMES: Final = tuple(claim.name for claim in _ROWS if claim.privacy is Privacy.USER_NAME)
