"""How fast captures are read: `python scripts/bench/import.py [--calls N]`.

Makes one capture of N calls in each format, and reads each in a process of its own, beside mitmproxy's FlowReader
(which reads flow files and HARs) and `mitmdump -n -r`. Prints calls a second and the peak memory of each process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Each reader says its own peak: what the operating system tells a parent begins with the parent's own memory.
PEAK = """
def peak():
    import psutil, sys
    from pathlib import Path
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1e3 for line in status.read_text().splitlines() if "VmHWM" in line)
    memory = psutil.Process().memory_info()
    return getattr(memory, "peak_wset", memory.rss) / 1e6
import atexit, sys
atexit.register(lambda: sys.stdout.write(f"{peak()}\\n"))
"""
READERS = {
    "mfa_audit.captures": """
from pathlib import Path
from mfa_audit.captures import recognition
with recognition.read(Path(sys.argv[1])) as capture:
    assert sum(1 for _ in capture.exchanges) == int(sys.argv[2]), capture.remarks.skipped
""",
    "mfa-audit import": """
from mfa_audit.commands import main
sys.argv = ["mfa-audit", "import", "--quiet", "--db", sys.argv[1] + ".db", sys.argv[1]]
main()
""",
    "mitmproxy's FlowReader": """
from mitmproxy.io import FlowReader
with open(sys.argv[1], "rb") as file:
    assert sum(1 for _ in FlowReader(file).stream()) == int(sys.argv[2])
""",
    "mitmdump -n -r": """
from mitmproxy.tools.main import mitmdump
mitmdump(["-q", "-n", "-r", sys.argv[1]])
""",
}
WRITE = """
import sys
from pathlib import Path
import captures
getattr(captures, sys.argv[1])(Path(sys.argv[2]), int(sys.argv[3]))
"""
FORMATS = {"flows": "write_flows", "HAR": "write_har", "SAZ": "write_saz"}


def measure(script: str, *arguments: object) -> tuple[float, float]:
    """Seconds and peak MB of a Python process that runs the script."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PEAK + script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return time.perf_counter() - begun, float(done.stdout.split()[-1])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=50_000)
    count = parser.parse_args().calls
    print(f"{count:,} calls; Python {sys.version.split()[0]}; start-up included\n")
    print(f"{'format':8}{'MB':>6}  {'reader':26}{'calls/s':>9}{'seconds':>9}{'peak MB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for format_, function in FORMATS.items():
            path = Path(folder, f"calls.{format_}")
            subprocess.run(
                [sys.executable, "-c", WRITE, function, str(path), str(count)],
                check=True,
                cwd=Path(__file__).parent,
            )
            size = path.stat().st_size / 1e6
            for reader, script in READERS.items():
                if format_ == "SAZ" and "mitm" in reader:
                    continue
                seconds, peak = measure(script, path, count)
                print(
                    f"{format_:8}{size:6.0f}  {reader:26}{count / seconds:9,.0f}{seconds:9.2f}{peak:9.0f}",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()
