"""HTTP over a unix socket, with nothing but the standard library."""

from __future__ import annotations

import http.client
import socket


class UnixConnection(http.client.HTTPConnection):
    """A connection to the API on this machine."""

    def __init__(self, path: str, timeout: float) -> None:
        """`timeout` is in seconds, for each wait."""
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
