"""Reports as files: whole or not at all, and private to the user."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from contextlib import suppress
from pathlib import Path

from mfa_audit.commands.terminal import say
from mfa_audit.errors import AuditError


def write_file(path: Path, text: str) -> None:
    """Write `text` as UTF-8 in place of the file, which only its owner can read. Raises AuditError.

    A reader sees the old file or the new one, never half of one.
    """
    draft: Path | None = None
    try:
        # mkstemp makes it with mode 0600; on Windows the folder's permissions apply.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        draft = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        if draft is not None:
            with suppress(OSError):
                draft.unlink()
        raise AuditError(f"cannot write {path}: {error.strerror}. Name another file with --output.") from None


def open_in_browser(html: str, *, quiet: bool) -> None:
    """Show a page in the user's browser, from a private file that stays for the browser to read. Raises AuditError."""
    folder = Path(tempfile.mkdtemp(prefix="mfa-audit-"))
    path = folder / "report.html"
    write_file(path, html)
    say(f"Wrote {path}", quiet=quiet)
    if not webbrowser.open(path.as_uri()):
        raise AuditError(f"found no browser to open; the report is in {path}.")
