"""No network in tests: a connection to any other machine raises, and so does the question for its address."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any


class Blocked(Exception):
    """What a test tried to reach. Not an OSError, which code would take for a network that is down."""


def block() -> None:
    """Block this process's sockets, for good; files and this machine's own addresses stay."""
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    socket.getaddrinfo = _resolving(socket.getaddrinfo)


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX:
            _check(address[0])
        return connect(self, address)

    return guarded


def _resolving(resolve: Any) -> Any:
    def resolving(host: Any, *arguments: Any, **options: Any) -> Any:
        _check(host)
        return resolve(host, *arguments, **options)

    return resolving


def _check(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in (None, "", "localhost") and not _own(name):
        raise Blocked(f"{name}: tests reach no other machine; serve what they need on 127.0.0.1")


def _own(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
