"""Where files go when nobody says where: folders of the user's own."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def data_folder() -> Path:
    """What is to be kept: the database, the proxy's certificate authority, the key of pseudonyms."""
    return platformdirs.user_data_path("mfa-audit", appauthor=False)


def default_database() -> Path:
    """`audit.db` in the data folder."""
    return data_folder() / "audit.db"


def authority_folder() -> Path:
    """The `confdir` of `mfa-audit proxy`; never mitmproxy's own."""
    return data_folder() / "authority"
