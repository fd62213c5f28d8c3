"""Which addresses are this machine's, and which of them only it reaches."""

from __future__ import annotations

import ipaddress
import socket

import psutil


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on, or calls from, `host`: an address, or `localhost`.

    An empty host means every address, and any other name is none of ours: False.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1, as a socket for both families shows it
    return (mapped or address).is_loopback


def is_own_address(host: str) -> bool:
    """Whether `host` leads to this machine: loopback, its own name, or an address of one of its interfaces."""
    name = host.strip("[]").partition("%")[0].lower().rstrip(".")
    if is_loopback(name) or name in (socket.gethostname().lower(), "localhost.localdomain", "ip6-localhost"):
        return True
    addresses = (one.address for every in psutil.net_if_addrs().values() for one in every)
    return name in (address.partition("%")[0].lower() for address in addresses)
