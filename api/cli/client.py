"""Asking the REST API, with nothing but the standard library: the command line must start fast."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from api.unix_http import UnixConnection
from appliance.errors import HoldfastError

Json = dict[str, Any]
UNIX = "unix:"
_SECONDS = 240.0  # a change may have to wait for one program after another
_QUIET_SECONDS = 60.0  # a stream of events says at least every 15 s that there is nothing new


class ApiRefusal(HoldfastError):
    """The API refused what was asked, or is not there."""

    code = "api"
    exit_code = 2


@dataclass(frozen=True)
class Answer:
    """What the API answered: the body, empty if it has none, and the headers by their names in small letters."""

    body: Json
    text: str
    headers: Mapping[str, str]


class Client:
    """The API at an address: http://HOST:PORT, https://HOST:PORT, or unix:PATH, which needs no token for root."""

    def __init__(self, url: str, token: str = "", ca_file: str = "") -> None:
        """`ca_file` has the certificates to trust, if they are not the system's. Raises ApiRefusal for no such URL."""
        self._url = url.rstrip("/")
        self._token = token
        self._ca_file = ca_file

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Return the answer's body, empty if it has none. Raises ApiRefusal."""
        return self.ask(method, path, None if body is None else json.dumps(body).encode()).body

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the whole answer; a body is JSON unless a header says otherwise. Raises ApiRefusal."""
        connection = self._connection(_SECONDS)
        try:
            response = self._send(connection, method, path, body, headers or {})
            raw = response.read()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._absent(error) from None
        finally:
            connection.close()
        answer = Answer(_json(raw), raw.decode(errors="replace"), {k.lower(): v for k, v in response.getheaders()})
        _check(response.status, answer.body)
        return answer

    def stream(self, path: str) -> Iterator[Json]:
        """Yield the JSON objects of server-sent events, until the server ends. Raises ApiRefusal."""
        connection = self._connection(_QUIET_SECONDS)
        try:
            response = self._send(connection, "GET", path, None, {"Accept": "text/event-stream"})
            if response.status != 200:
                _check(response.status, _json(response.read()))
            while line := response.readline():
                if line.startswith(b"data: "):
                    yield _json(line.removeprefix(b"data: "))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._absent(error) from None
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._url.startswith(UNIX):
            return UnixConnection(self._url.removeprefix(UNIX), timeout)
        try:
            parts = urlsplit(self._url)
            if not parts.hostname or parts.scheme not in ("http", "https"):
                raise ValueError("an address is http://HOST:PORT, https://HOST:PORT or unix:PATH")
            if parts.scheme == "http":
                return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
            context = ssl.create_default_context(cafile=self._ca_file or None)
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
        except (ValueError, OSError) as error:
            raise self._absent(error) from None

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        own = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            own["Authorization"] = f"Bearer {self._token}"
        connection.request(method, path, body, {**own, **headers})
        return connection.getresponse()

    def _absent(self, error: Exception) -> ApiRefusal:
        return ApiRefusal(f"{self._url} does not answer: {error}", "see --url")


def _check(status: int, body: Json) -> None:
    if status >= 400:
        problem = body.get("error", {})
        raise ApiRefusal(
            problem.get("message", f"the API answered {status}"),
            problem.get("hint", ""),
            code=problem.get("code", "api"),
        )


def _json(body: bytes) -> Json:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
