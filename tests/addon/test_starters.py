"""What started a process, from tables of what systems show, and from real process trees where this one has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mfa_audit.addon.starters import _started_elsewhere, read_process, started_by, starter_of

USER = "/user.slice/user-1000.slice"
GUID = "0b9c3f0a-58e1-4c2b-9a3f-5f8f0f2a7d11"
ID = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

CASES = {
    "Debian's cron": (("sh", "cron", "cron", "systemd"), "/system.slice/cron.service", False, "cron"),
    "Red Hat's cron": (("bash", "crond", "crond"), "/user.slice/user-0.slice/session-9.scope", False, "cron"),
    "the title that cron gives itself": (("sh", "CRON", "cron"), "", False, "cron"),
    "anacron": (("run-parts", "sh", "anacron"), "/system.slice/anacron.service", False, "cron"),
    "at": (("sh", "atd"), "/system.slice/atd.service", False, "at"),
    "ssh": (("bash", "sshd-session", "sshd-session", "sshd"), f"{USER}/session-3.scope", True, "SSH session"),
    "ssh with a command": (("bash", "sshd", "sshd"), f"{USER}/session-4.scope", False, "SSH session"),
    "what outlived cron's job": (("systemd",), "/system.slice/cron.service", False, "cron"),
    "a timer's service": (("bash", "systemd"), "/system.slice/backup.service", False, "backup.service"),
    "an instance": (("systemd",), "/system.slice/system-job.slice/job@eu.service", False, "job@eu.service"),
    "a payload's own group": (("systemd",), "/system.slice/sync.service/payload", False, "sync.service"),
    "a user's own timer": (("systemd",), f"{USER}/user@1000.service/app.slice/x.service", False, "x.service"),
    "systemd-run": (("systemd",), "/system.slice/run-u42.service", False, "systemd-run"),
    "systemd-run, its newer names": (("systemd",), "/system.slice/run-p81-i9.service", False, "systemd-run"),
    "a console": (("bash", "login", "systemd"), f"{USER}/session-1.scope", True, "terminal"),
    "a terminal's window": (
        ("zsh", "gnome-terminal-", "systemd"),
        f"{USER}/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-{GUID}.scope",
        True,
        "terminal",
    ),
    "a desktop": (("gnome-shell", "systemd"), f"{USER}/user@1000.service/app.slice/app-code-1.scope", False,
                  "login session"),
    "KDE's": (("systemd",), f"{USER}/user@1000.service/app.slice/app-x@{ID[:32]}.service", False, "login session"),
    "what outlived its shell": (("systemd",), f"{USER}/session-7.scope", False, "login session"),
    "docker on cgroup v2": (("containerd-shim",), f"/system.slice/docker-{ID}.scope", False, "container"),
    "docker on cgroup v1": (("containerd-shim",), f"/docker/{ID}", False, "container"),
    "podman": (("conmon",), f"/machine.slice/libpod-{ID}.scope", False, "container"),
    "kubernetes": (("containerd-shim",), f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", False,
                   "container"),
    "cron in a container": (("sh", "crond"), f"/docker/{ID}", False, "cron"),
    "cron from a terminal is cron": (("sh", "cron", "bash", "sshd"), f"{USER}/session-3.scope", False, "cron"),
    "a terminal without systemd": (("bash", "tmux: server"), "/", True, "terminal"),
    "a container's own first process": (("sh",), "/", False, None),
    "no tree at all": ((), "", False, None),
    "Windows' ssh": (("cmd.exe", "sshd.exe", "sshd.exe", "services.exe"), "", False, "SSH session"),
    "Windows' desktop": (("explorer.exe",), "", False, "login session"),
    "Windows' terminal": (("pwsh.exe", "WindowsTerminal.exe", "explorer.exe"), "", False, "terminal"),
}  # fmt: skip


@pytest.mark.parametrize(("ancestors", "group", "terminal", "starter"), CASES.values(), ids=CASES)
def test_tables(ancestors: tuple[str, ...], group: str, terminal: bool, starter: str | None) -> None:
    """The nearest starter among the ancestors, else the container, service, terminal or session."""
    assert starter == starter_of(ancestors, group, terminal)


@pytest.fixture
def in_tree(tmp_path: Path) -> Iterator[psutil.Process]:
    """A sleeping process below a shell that is called cron, below a shell."""
    cron = Path(shutil.copy(shutil.which("sh") or "/bin/sh", tmp_path / "cron"))
    # After each command comes another, so that no shell replaces itself by it.
    command = ["sh", "-c", f"{cron} -c 'sleep 60; :' ; :"]
    with subprocess.Popen(command, start_new_session=True) as shell:
        process = psutil.Process(shell.pid)
        while len(found := process.children(recursive=True)) < 2:
            assert shell.poll() is None
        yield found[-1]
        os.killpg(shell.pid, 9)


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS kills a copied system binary")
def test_a_real_tree(in_tree: psutil.Process) -> None:
    """A process below one named cron was started by cron, by /proc and by psutil alike."""
    assert "cron" == started_by(in_tree.pid)
    assert "cron" == _started_elsewhere(in_tree)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_terminal() -> None:
    """A process knows whether it has a controlling terminal; its name may hold anything."""
    import fcntl
    import termios

    ours, theirs = os.openpty()
    command = [
        sys.executable,
        "-c",
        "import sys; open('/proc/self/comm', 'w').write('a) (b'); sys.stdin.read()",
    ]
    for terminal in (True, False):
        with subprocess.Popen(
            command,
            stdin=theirs if terminal else subprocess.PIPE,
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if terminal else None,  # noqa: PLW1509
        ) as child:
            while (found := read_process(child.pid)).name != "a) (b":
                assert child.poll() is None
            assert (terminal, os.getpid()) == (found.has_terminal, found.parent)
            child.kill()
    os.close(ours)
    os.close(theirs)


@pytest.mark.skipif(sys.platform != "linux", reason="needs control groups")
def test_a_real_control_group() -> None:
    """A process that systemd would have put into a service's control group is of that service."""
    for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        group = root / "mfa-audit-test.slice" / "nightly.service"
        with suppress(OSError):
            group.mkdir(parents=True)
            break
    else:
        pytest.skip("may not make control groups")
    try:
        # Its shell ends, so that no ancestor of ours says something else.
        done = subprocess.run(
            ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; sleep 60 >/dev/null 2>&1 & echo $!', str(group)],
            capture_output=True,
            check=True,
            text=True,
        )
        orphan = psutil.Process(int(done.stdout))
        try:
            assert "nightly.service" == started_by(orphan.pid)
        finally:
            orphan.kill()
            psutil.wait_procs([orphan])
    finally:
        group.rmdir()
        group.parent.rmdir()


def test_a_gone_process_has_no_starter() -> None:
    """Whatever happened to a process meanwhile, nothing is raised."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
        assert started_by(child.pid) is None
