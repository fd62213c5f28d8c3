"""Where files go when nobody says where, and how a file or folder is made that only its owner can read."""

from __future__ import annotations

import os
import tempfile
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


def running_folder() -> Path:
    """Where running proxies are noted."""
    return platformdirs.user_state_path("mfa-audit", appauthor=False) / "running"


def journals_folder() -> Path:
    """Where journals lie whose database is not on a local disk."""
    return platformdirs.user_state_path("mfa-audit", appauthor=False) / "journals"


def make_private(folder: Path) -> None:
    """Make `folder`, or take the rights of others on it away. Raises OSError.

    On Windows the mode says nothing; there a folder inherits the rights of the user's profile.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        folder.chmod(0o700)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` in one step by a file that only its owner can read (mkstemp makes it with mode 0600).

    Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
