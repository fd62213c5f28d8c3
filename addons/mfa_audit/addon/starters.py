"""What started a process: a scheduler, a service, a container, or somebody's session. Names only.

Read from the process tree and, on Linux, from the control group and the controlling terminal. By hand and by
schedule are told apart by it, since one script may have another token in each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import psutil

TERMINAL: Final = "terminal"
LOGIN: Final = "login session"
SSH: Final = "SSH session"
CONTAINER: Final = "container"
TRANSIENT: Final = "systemd-run"
TASK_SCHEDULER: Final = "Task Scheduler"
# Programs whose descendants they started, by name in lower case (15 characters, which is all that Linux keeps);
# `sshd-session` since OpenSSH 9.8. Windows' and macOS' from documentation; untested.
STARTERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("cron", "crond", "anacron", "fcron", "supercronic"), "cron"),
    **dict.fromkeys(("atd", "atrun"), "at"),
    **dict.fromkeys(("sshd", "sshd-session", "dropbear", "sshd.exe"), SSH),
    **dict.fromkeys(("windowsterminal.exe", "openconsole.exe", "terminal", "iterm2"), TERMINAL),
    "explorer.exe": LOGIN,
    "taskeng.exe": TASK_SCHEDULER,
    "wsmprovhost.exe": "PowerShell remoting",
    "w3wp.exe": "IIS",
}
_NAME_LIMIT: Final = 255
_MOST_ANCESTORS: Final = 64  # more than any real tree has
# What container engines call the control groups of containers: `docker-<id>.scope`, `/docker/<id>`, `/lxc/<name>`,
# `kubepods-…`, `libpod-<id>`, `machine.slice/…`.
_CONTAINER: Final = re.compile(
    r"/(?:docker|containerd|lxc|lxc\.payload[^/]*|crio|garden|ecs)/|/kubepods|(?:docker|libpod|crio|cri-containerd)-"
    r"[0-9a-f]{12,}|/machine\.slice/|/buildkit/"
)
# systemd.exec(5), pam_systemd(8), systemd-run(1), and systemd.io/DESKTOP_ENVIRONMENTS for `app-…`.
_SESSION: Final = re.compile(r"user@\d+\.service|app-.*@[0-9a-f]{32}\.service|dbus-:.*\.service")
_TRANSIENT: Final = re.compile(r"run-[rup]?[0-9a-fi-]+\.service")


def starter_of(ancestors: Sequence[str], control_group: str, has_terminal: bool) -> str | None:
    """What started a process with these `ancestors` (their names, the nearest first); None where nothing tells.

    `control_group` is its path, or empty; `has_terminal`: it has a controlling terminal. Pure.
    """
    for name in ancestors:
        starter = STARTERS.get(name.lower())
        if starter is not None:
            return starter
    if _CONTAINER.search(control_group):
        return CONTAINER
    unit = _unit(control_group)
    if unit is not None:
        return unit
    if has_terminal:
        return TERMINAL
    return LOGIN if "/user.slice/" in control_group + "/" else None


def _unit(control_group: str) -> str | None:
    """The innermost systemd service on the path; None in a session, which is a scope."""
    for part in reversed(control_group.split("/")):
        if part.endswith(".service") and not _SESSION.fullmatch(part):
            # What outlived a job of cron has its parent no more, but is still in its control group.
            return TRANSIENT if _TRANSIENT.fullmatch(part) else STARTERS.get(part[:-8], part[:_NAME_LIMIT])
    return None


class Process(NamedTuple):
    """What /proc/PID/stat says of a process; `began` in clock ticks since the start of the system."""

    name: str
    parent: int
    has_terminal: bool
    began: int


def read_process(pid: int) -> Process:
    """One line of proc(5). Raises OSError, ValueError where there is no such process."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    name, _, rest = text.partition("(")[2].rpartition(")")  # a name may hold brackets and blanks
    fields = rest.split()
    if len(fields) < 20:
        raise ValueError(text)
    return Process(name, int(fields[1]), int(fields[4]) != 0, int(fields[19]))


def started_by(pid: int) -> str | None:
    """What started this process; None where nothing tells, or the process has gone. Blocks for some 0.1 ms on Linux."""
    with suppress(OSError, ValueError, psutil.Error):
        if psutil.LINUX:
            return _started_on_linux(pid, read_process(pid).began)
        return _started_elsewhere(psutil.Process(pid))
    return None


@lru_cache(maxsize=256)
def _started_on_linux(pid: int, began: int) -> str | None:
    """With `began`, a process id is that of one process only."""
    own = read_process(pid)
    return starter_of([one.name for one in _ancestors(own)], _control_group(pid), own.has_terminal)


def _ancestors(process: Process) -> Iterator[Process]:
    for _ in range(_MOST_ANCESTORS):
        if process.parent <= 0:
            return
        try:
            process = read_process(process.parent)
        except (OSError, ValueError):
            return
        yield process


def _control_group(pid: int) -> str:
    """The path in the unified hierarchy or, where there is none, in systemd's own: cgroups(7)."""
    found = ""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "name=systemd") and len(path) > len(found):
                found = path
    return found


def _started_elsewhere(process: psutil.Process) -> str | None:
    """On Windows and macOS, from what psutil knows of the process tree. From documentation; untested there."""
    ancestors = process.parents()
    found = starter_of([one.name() for one in ancestors], "", False)
    if found is not None:
        return found
    if sys.platform == "win32":
        hosts = {process.pid, *(one.pid for one in ancestors)}
        services = set()
        for service in psutil.win_service_iter():
            with suppress(psutil.Error):
                if service.pid() in hosts:
                    services.add(service.name())
        # Each task is a child of the process that hosts this service, and at times others too.
        return TASK_SCHEDULER if "Schedule" in services else min(services, default=None)
    if psutil.MACOS:
        return TERMINAL if process.terminal() else "launchd"
    return TERMINAL if process.terminal() else None
