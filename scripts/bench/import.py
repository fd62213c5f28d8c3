"""How fast captures are read: `python scripts/bench/import.py [--calls N]`.

Makes one capture of N calls in each format, and reads each in a process of its own, beside mitmproxy's
FlowReader (which reads flow files and HARs) and `mitmdump -n -r`. Prints calls a second and the peak memory
of each process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import captures

READ = """
import sys
from pathlib import Path
from mfa_audit.sources import captures
with captures.read(Path(sys.argv[1])) as capture:
    assert sum(1 for _ in capture.exchanges) == int(sys.argv[2]), capture.remarks.skipped
"""
FLOW_READER = """
import sys
from mitmproxy.io import FlowReader
with open(sys.argv[1], "rb") as file:
    assert sum(1 for _ in FlowReader(file).stream()) == int(sys.argv[2])
"""
MITMDUMP = "import sys; from mitmproxy.tools.main import mitmdump; mitmdump(['-q', '-n', '-r', sys.argv[1]])"
IMPORT = """
import sys
from mfa_audit.commands import main
sys.argv = ["mfa-audit", "import", "--quiet", "--db", sys.argv[1] + ".db", sys.argv[1]]
main()
"""
NOTHING = "import sys; __import__(sys.argv[2])"


def measure(script: str, *arguments: object) -> tuple[float, float]:
    """Seconds and peak MB of a Python process that runs the script."""
    begun = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"a reader failed with {child.returncode}")
    # Linux counts in kB, macOS in bytes.
    return time.perf_counter() - begun, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=50_000)
    count = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "flows": (captures.write_flows, Path(folder, "calls.mitm")),
            "HAR": (captures.write_har, Path(folder, "calls.har")),
            "SAZ": (captures.write_saz, Path(folder, "calls.saz")),
        }
        for write, path in files.values():
            write(path, count)
        print(f"{count:,} calls; Python {sys.version.split()[0]}; start-up included\n")
        print(f"{'format':8}{'MB':>6}  {'reader':32}{'calls/s':>9}{'seconds':>9}{'peak MB':>9}")
        for name, (_, path) in files.items():
            readers = {"mfa_audit.sources": READ, "mfa-audit import": IMPORT}
            if name != "SAZ":
                readers |= {"mitmproxy's FlowReader": FLOW_READER, "mitmdump -n -r": MITMDUMP}
            for reader, script in readers.items():
                seconds, peak = measure(script, path, count)
                size = path.stat().st_size / 1e6
                print(f"{name:8}{size:6.0f}  {reader:32}{count / seconds:9,.0f}{seconds:9.2f}{peak:9.0f}")


if __name__ == "__main__":
    main()
