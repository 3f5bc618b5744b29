"""`python -m api.healthcheck SOCKET`: ask the API over its unix socket whether the appliance is ready.

For the container's HEALTHCHECK: it works whatever port, address and certificate the API has, and imports no more than
it needs, since it is run again and again.
"""

from __future__ import annotations

import http.client
import socket
import sys

_SECONDS = 8.0


class _Local(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def connect(self) -> None:
        """Connect to the path that stands for the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self.host)


def main(path: str) -> int:
    """Return 0 if the appliance says that it is ready."""
    connection = _Local("localhost")
    connection.host = path
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        return int(connection.getresponse().status != 200)
    except (OSError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
