"""`status` and `logs`: the container, its health, what it shares and who uses that."""

from __future__ import annotations

import http.client
import json
import sys
from typing import Any, cast

from docker.models.containers import Container

from deploy import sdk
from deploy.errors import DeployError
from deploy.ready import is_ready

NOT_READY = 1
_TOKEN_FILE = "/var/lib/holdfast/api-token"  # noqa: S105 - its place, not the token
_API = "8080/tcp"
_SECONDS = 30


def status() -> int:
    """Print how it stands; return 0 if the appliance is ready, 1 if it is not."""
    with sdk.engine() as client:
        container = sdk.get(client)
        ready = container.status == "running" and is_ready(container)
        lines = about(container.attrs, ready)
        if container.status == "running":
            try:
                lines += shares(ask(container, "/v1/shares"))
                lines += clients(ask(container, "/v1/clients"))
            except DeployError as error:
                lines.append(f"API         {error}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if ready else NOT_READY


def logs(*, follow: bool, lines: int) -> int:
    """Print the end of the container's log, and what comes if it is to be followed."""
    with sdk.engine() as client:
        for chunk in sdk.get(client).logs(stream=True, follow=follow, tail=lines):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return 0


def about(container: dict[str, Any], ready: bool) -> list[str]:
    """Return the lines on the container, as the engine inspects it."""
    state = container["State"]
    health = state.get("Health", {}).get("Status", "none")
    ports = [f"{binding['HostIp']}:{binding['HostPort']} -> {port}"
             for port, bindings in sorted((container["NetworkSettings"].get("Ports") or {}).items())
             for binding in bindings or ()]
    ended = "" if state["Running"] else f", status {state['ExitCode']} at {state['FinishedAt'][:19]}"
    return [
        f"container   {container['Name'].lstrip('/')}, {state['Status']}{ended}",
        f"ready       {'yes' if ready else 'no'} (the engine's last check: {health})",
        f"started     {state['StartedAt'][:19]}, {container['RestartCount']} restarts by the engine since",
        f"image       {container['Config']['Image']} ({container['Image'][:19]})",
        f"ports       {', '.join(ports) or 'none published'}",
    ]


def shares(answer: Any) -> list[str]:
    """Return the lines on the shares, as the API lists them."""
    found = _listed(answer, "shares")
    lines = [f"shares      {len(found)}"]
    for share in found:
        state = share["state"]
        said = f": {state['reason']} ({state['hint']})" if state.get("reason") else ""
        lines.append(f"  {share['name']:20}  {state['status']:9}  {share['source']}{said}")
    return lines


def clients(answer: Any) -> list[str]:
    """Return the lines on the clients, as the API lists them."""
    found = _listed(answer, "clients")
    return [f"clients     {len(found)}", *(f"  {client['address']:24}  {client['status']}" for client in found)]


def ask(container: Container, path: str) -> Any:
    """Return what the API answers at its published port, asked with the container's own token. Raises DeployError."""
    bindings = (container.attrs["NetworkSettings"].get("Ports") or {}).get(_API) or ()
    if not bindings:
        raise DeployError("its port is not published", "see compose.yaml")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(  # noqa: S104 - where it was published
        bindings[0]["HostIp"], bindings[0]["HostIp"])
    token = cast("bytes", container.exec_run(["cat", _TOKEN_FILE]).output)
    connection = http.client.HTTPConnection(host, int(bindings[0]["HostPort"]), timeout=_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token.decode().strip()}"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise DeployError(f"GET {path} was answered {response.status}", "holdfast-deploy logs")
        return json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeployError(f"it does not answer at {host}: {error}", "holdfast-deploy logs; with TLS, ask it yourself")\
            from error
    finally:
        connection.close()


def _listed(answer: Any, name: str) -> list[dict[str, Any]]:
    found = answer.get(name, []) if isinstance(answer, dict) else answer
    return list(found)
