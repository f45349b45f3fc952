"""Forbid connections to other machines."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

_LOCAL = ("localhost", "127.0.0.1", "::1", "", None, b"localhost")


class NetworkUsedError(AssertionError):
    """Raised when something looks up another machine or connects to it."""


@contextmanager
def no_network() -> Iterator[None]:
    """Refuse look-ups of and connections to other machines; at the end fail if one was tried."""
    tried: list[str] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def refuse(host: Any) -> None:
        tried.append(str(host))
        raise NetworkUsedError(f"the network was used: {host}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in _LOCAL:
            refuse(address)
        connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in _LOCAL:
            refuse(host)
        return look_up(host, *args, **kwargs)

    with (
        mock.patch.object(socket.socket, "connect", guarded_connect),
        mock.patch.object(socket.socket, "connect_ex", guarded_connect),
        mock.patch.object(socket, "getaddrinfo", guarded_look_up),
    ):
        yield
    if tried:
        raise NetworkUsedError(f"the network was used, and the error was swallowed: {', '.join(tried)}")
