"""Asking the REST API, with nothing but the standard library: the command line must start fast."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from appliance.errors import HoldfastError

Json = dict[str, Any]
_SECONDS = 60.0


class ApiRefusal(HoldfastError):
    """The API refused what was asked, or is not there."""

    code = "api"
    exit_code = 2


class Client:
    """The API at an address, spoken to with a token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Return the answer's body, empty if it has none. Raises ApiRefusal."""
        request = urllib.request.Request(  # noqa: S310 - the address is the user's own
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                return _json(response.read())
        except urllib.error.HTTPError as error:
            problem = _json(error.read()).get("error", {})
            raise ApiRefusal(
                problem.get("message", f"the API answered {error.code}"),
                problem.get("hint", ""),
                code=problem.get("code", "api"),
            ) from None
        except (OSError, ValueError) as error:
            raise ApiRefusal(
                f"{self._url} does not answer: {getattr(error, 'reason', error)}", "see --url"
            ) from None


def _json(body: bytes) -> Json:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
