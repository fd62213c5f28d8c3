"""What goes wrong in a way that the user can fix."""

from __future__ import annotations


class AuditError(Exception):
    """One sentence that says what is wrong and what to do; a command prints it and exits 2.

    The text may reach a screen: nothing from the network goes into it without `formats.printable.line`.
    """
