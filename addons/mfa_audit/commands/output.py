"""Reports as files: whole or not at all, and private to the user."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any, Final

from mfa_audit.commands.terminal import say
from mfa_audit.errors import AuditError
from mfa_audit.machine.folders import write_private

# A browser that has to start first needs some seconds to read the page.
OPEN_SECONDS: Final = 60
_REMOVE: Final = "import shutil, sys, time; time.sleep(float(sys.argv[1])); shutil.rmtree(sys.argv[2], True)"


def write_file(path: Path, text: str) -> None:
    """Write `text` as UTF-8 in place of the file, which only its owner can read. Raises AuditError.

    A reader sees the old file or the new one, never half of one.
    """
    try:
        write_private(path, text.encode("utf-8"))
    except OSError as error:
        raise AuditError(f"cannot write {path}: {error.strerror}. Name another file with --output.") from None


def open_in_browser(html: str, *, quiet: bool) -> None:
    """Show a page in the user's browser, from a private file that is deleted a minute later. Raises AuditError."""
    folder = Path(tempfile.mkdtemp(prefix="mfa-audit-report-"))
    path = folder / "report.html"
    write_file(path, html)
    opened = webbrowser.open(path.as_uri())
    _remove_later(folder)
    if not opened:
        raise AuditError("found no browser to open; write the report to a file with --output report.html.")
    say(f"Opened {path}, which is deleted in a minute; --output report.html keeps one.", quiet=quiet)


def _remove_later(folder: Path) -> None:
    """Delete the folder in a process of its own, since nothing tells when a browser has read a file."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    subprocess.Popen(
        [sys.executable, "-I", "-c", _REMOVE, str(OPEN_SECONDS), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **apart,
    )
