"""The file for `mitmdump -s`. Any name here that equals a mitmproxy hook would be called: keep it at these."""

from mfa_audit.addon.live import PartnerCenterMfa

addons = [PartnerCenterMfa()]
