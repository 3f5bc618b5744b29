"""The few calls to the appliance's REST API that a start needs."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy.errors import DeployError

LOOK_SECONDS = 10.0
Json = dict[str, Any]


class ApiError(DeployError):
    """The REST API refused what was asked, or did not answer in time."""

    code = "api"


@dataclass(frozen=True)
class Rest:
    """The API at a TCP port of 127.0.0.1."""

    port: int
    token: str = ""

    @property
    def url(self) -> str:
        """The address, as a person would type it."""
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        """Tell whether the appliance serves all that it should. False also when nobody answers."""
        try:
            return self._call("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_until_ready(self, timeout: float, hopeless: Callable[[], bool]) -> None:
        """Wait until the appliance is ready. Raises ApiError after so many seconds, or once it is hopeless."""
        deadline = time.monotonic() + timeout
        next_look = time.monotonic() + LOOK_SECONDS
        while not self.ready():
            if time.monotonic() > deadline:
                raise ApiError(f"{self.url}/readyz did not say ready within {timeout:.0f} s")
            if time.monotonic() > next_look:
                if hopeless():
                    raise ApiError("the appliance ended instead of becoming ready")
                next_look = time.monotonic() + LOOK_SECONDS
            time.sleep(0.3)

    def create_share(self, share: Json) -> Json:
        """Create a share, or return the one that is there by this name. Raises ApiError."""
        status, answer = self._call("GET", f"/v1/shares/{share['name']}")
        if status == 404:
            status, answer = self._call("POST", "/v1/shares", share)
        if status not in (200, 201):
            raise ApiError(f"the API answered {status} to a share {share['name']}: {answer}")
        found: Json = json.loads(answer)
        return found

    def set_clients(self, name: str, clients: list[Json]) -> None:
        """Let these clients use a share and no others. Raises ApiError."""
        status, answer = self._call("PATCH", f"/v1/shares/{name}", {"clients": clients})
        if status != 200:
            raise ApiError(f"the API answered {status} to the clients of share {name}: {answer}")

    def _call(self, method: str, path: str, body: Json | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json",
                       **({"If-Match": "*"} if method == "PATCH" else {})}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()
