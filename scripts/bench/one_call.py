"""How long a single call can keep the event loop, whatever it carries. Aim: 5 ms in any of our hooks.

Run: python scripts/bench/one_call.py [ROUNDS]. Prints the longest hook of each call (the least of all rounds, in
milliseconds of processor time); exits 1 when one is above the aim.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from mitmproxy.test import taddons

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from heavy_calls import HEAVY, seconds_held
from mfa_audit.addon.live import PartnerCenterMfa

AIM = 0.005
LARGEST = 4


async def measure() -> dict[str, float]:
    """The longest hook of each heavy call, in seconds, by a recorder that has seen none of them before."""
    addon = PartnerCenterMfa()
    with tempfile.TemporaryDirectory() as folder, taddons.context() as context:
        context.master.addons.add(addon)
        context.configure(addon, mfa_audit_db=str(Path(folder) / "audit.db"))
        found = {name: await seconds_held(addon, make(LARGEST)) for name, make in HEAVY.items()}
        assert addon.recorder is not None
        addon.recorder.close()
        assert (addon.failures, addon.recorder.lost) == (0, 0)
    return found


def main() -> int:
    rounds = [asyncio.run(measure()) for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)]
    found = {name: min(times[name] for times in rounds) for name in HEAVY}
    for name, seconds in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{seconds * 1000:8.2f} ms  {name}")
    return 1 if max(found.values()) > AIM else 0


if __name__ == "__main__":
    sys.exit(main())
