"""`mfa-audit report` from a checkout that is not installed.

    python scripts/report.py audit.db --since 7d

Takes all that `mfa-audit report` takes. The packages that the project depends on must be installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "addons"))

try:
    from mfa_audit.commands import main
except ModuleNotFoundError as error:
    print(
        f"The Python package {error.name} is missing: run `pip install .` in the checkout first.",
        file=sys.stderr,
    )
    sys.exit(2)

sys.argv.insert(1, "report")
main()
