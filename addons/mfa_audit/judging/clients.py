"""Who calls: from what a caller says of itself to the tool that a partner would name."""

from __future__ import annotations

from typing import NamedTuple


class Client(NamedTuple):
    """A caller as seen, e-mail addresses masked; stored as it is, so that tools can be derived anew."""

    app_id: str | None
    application: str | None
    client: str | None
    user_agent: str | None
    sdk_version: str | None


class Tool(NamedTuple):
    """What tells one tool from another (versions, cultures, run ids and people's names taken out)."""

    name: str
    app_id: str | None
    client: str | None
    application: str | None
    product: str | None
