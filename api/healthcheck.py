"""`python -m api.healthcheck SOCKET`: ask the API over its unix socket whether the appliance is ready.

For the container's HEALTHCHECK: it works whatever port, address and certificate the API has, and imports no more than
it needs, since it is run again and again.
"""

from __future__ import annotations

import http.client
import sys

from api.unix_http import UnixConnection

_SECONDS = 8.0


def main(path: str) -> int:
    """Return 0 if the appliance says that it is ready."""
    connection = UnixConnection(path, _SECONDS)
    try:
        connection.request("GET", "/readyz")
        return int(connection.getresponse().status != 200)
    except (OSError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
