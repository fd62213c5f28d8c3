"""The file for `mitmdump -s` in a checkout; an installed one has its own, whose path `mfa-audit addon` prints."""

from mfa_audit.addon.script.partner_center_mfa import addons

__all__ = ["addons"]
