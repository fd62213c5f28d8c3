"""`mfa-audit untrust`, which shares all but its direction with `trust`."""

from __future__ import annotations

from mfa_audit.commands.trust import untrust as command

__all__ = ["command"]
