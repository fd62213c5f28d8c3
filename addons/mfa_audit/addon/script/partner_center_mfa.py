"""The file for `mitmdump -s`. Any name here that equals a mitmproxy hook would be called: keep it at these."""

import logging
import sys

addons = []
try:
    from mfa_audit.addon.live import PartnerCenterMfa
except ImportError as problem:  # another environment's mitmproxy
    if getattr(sys, "frozen", False):
        advice = (
            "The standalone mitmproxy cannot import packages; install mfa-audit with pip, pipx or uv, and use"
        )
    else:
        advice = f"Install mfa-audit into its environment ({sys.executable} -m pip install ...), or use"
    logging.getLogger("mfa_audit").error(
        f"This mitmproxy cannot load mfa-audit: {problem.name or 'a module'} is missing. {advice} the mitmdump that "
        "`mfa-audit addon` names."
    )
else:
    addons.append(PartnerCenterMfa())
