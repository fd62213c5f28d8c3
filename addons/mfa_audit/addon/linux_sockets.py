"""Which process holds a TCP connection on Linux: one question to the kernel, then a walk through /proc.

The kernel tells a socket's inode and owner in some 10 µs (sock_diag(7)), where reading all of /proc/net/tcp takes
milliseconds; that descriptors of a process link to `socket:[inode]` is in proc(5).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from errno import ENOENT
from pathlib import Path
from sys import intern
from typing import Final, NamedTuple

# An IP address and a port.
Address = tuple[str, int]

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_ALL_STATES: Final = 0xFFFFFFFF
_NO_COOKIE: Final = (0xFFFFFFFF, 0xFFFFFFFF)
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST: Final = struct.Struct("=BBBBI")  # inet_diag_req_v2: family, protocol, extensions, padding, states
_PORTS: Final = struct.Struct("!HH")  # inet_diag_sockid: of this end, of the other end, then both addresses
_INTERFACE_AND_COOKIE: Final = struct.Struct("=III")
_ANSWER_ID: Final = 4  # where in inet_diag_msg the sockid begins
_ANSWER_TAIL: Final = struct.Struct("=IIIII")  # expires, two queues, uid, inode
_ID_SIZE: Final = 48
_MAPPED: Final = "::ffff:"


class Socket(NamedTuple):
    """One end of a connection: the `inode` by which descriptors link to it, and the uid that opened it."""

    inode: int
    uid: int


def find_socket(own: Address, other: Address) -> Socket | None:
    """The socket of this machine that is bound to `own` and connected to `other`; None: gone, or not here.

    Raises OSError where the kernel does not answer such questions (gVisor, a kernel without `tcp_diag`).
    """
    (own_host, own_port), (other_host, other_port) = own, other
    family = socket.AF_INET
    own_host, other_host = own_host.removeprefix(_MAPPED), other_host.removeprefix(_MAPPED)
    if ":" in own_host:
        family = socket.AF_INET6
    wanted = (
        _PORTS.pack(own_port, other_port)
        + socket.inet_pton(family, own_host).ljust(16, b"\0")
        + socket.inet_pton(family, other_host).ljust(16, b"\0")
        + _INTERFACE_AND_COOKIE.pack(0, *_NO_COOKIE)
    )
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + wanted
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.setblocking(False)  # the answer is there when `send` returns
        kernel.send(header + request)
        answer = kernel.recv(1024)
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        if number == -ENOENT:
            return None
        raise OSError(-number, os.strerror(-number))
    at = _HEADER.size + _ANSWER_ID
    if _PORTS.unpack_from(answer, at) != (own_port, other_port):
        return None  # nobody is connected, but somebody listens on that port
    *_, uid, inode = _ANSWER_TAIL.unpack_from(answer, at + _ID_SIZE)
    return Socket(inode, uid) if inode else None  # without one: its process has gone


def newest_first(pids: Iterable[int]) -> list[int]:
    """The process ids by age: they are given in a circle, and /proc/loadavg ends in the latest."""
    with suppress(OSError, ValueError, IndexError):
        latest = int(Path("/proc/loadavg").read_text().split()[4])
        return sorted(pids, key=lambda pid: (pid > latest, -pid))
    return sorted(pids, reverse=True)


def descriptors(pid: int) -> list[str]:
    """The open descriptors of a process, highest first; none of a process that we may not look at."""
    try:
        return [intern(name) for name in reversed(os.listdir(f"/proc/{pid}/fd"))]  # noqa: PTH208
    except OSError:
        return []


def descriptor_count(pid: int) -> int | None:
    """How many descriptors a process has open, where the kernel says so at once: since Linux 6.2.

    https://docs.kernel.org/filesystems/proc.html, "/proc/<pid>/fd".
    """
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/fd").st_size or None  # noqa: PTH116 - of each process
    return None


def socket_at(pid: int, descriptor: str) -> int:
    """The inode of the socket behind a process's descriptor; 0 where there is none."""
    with suppress(OSError, ValueError):  # closed meanwhile
        link = os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115 - some thousand of them
        if link.startswith("socket:["):
            return int(link[8:-1])
    return 0
