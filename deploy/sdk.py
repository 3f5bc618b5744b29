"""The Docker engine through its SDK: what it refuses is told in a sentence, and the appliance's container is found.

The container is the one that compose.yaml describes, known by the labels that `docker compose` gives it; so whatever is
done here and there agrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker
import requests
from docker import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from deploy.errors import DeployError

PROJECT = "holdfast"
SERVICE = "holdfast"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"


class EngineError(DeployError):
    """The Docker engine does not answer, or refuses."""

    code = "engine"


class NoEngineError(EngineError):
    """There is no Docker engine here, or it does not let us."""


@contextmanager
def engine(timeout: float = 120) -> Iterator[DockerClient]:
    """Give a client of the engine that the environment names; what goes wrong in the block becomes an EngineError."""
    try:
        client = docker.from_env(timeout=int(timeout))
    except DockerException as error:
        raise NoEngineError("no Docker engine answers", _how_to_reach(error)) from error
    try:
        yield client
    except (DockerException, requests.exceptions.RequestException) as error:
        raise sentence(error) from error
    finally:
        client.close()


def sentence(error: Exception) -> EngineError:
    """Return an error of the engine as a person wants to read it."""
    match error:
        case ImageNotFound():
            return EngineError(f"there is no such image: {error.explanation}", "holdfast-deploy image, or pull it")
        case NotFound():
            return EngineError(f"the engine does not have it: {error.explanation}", "docker ps --all")
        case APIError():
            return EngineError(f"the engine refused: {error.explanation or error}", _hint(str(error.explanation)))
        case requests.exceptions.ReadTimeout():
            return EngineError("the engine did not answer in time", "journalctl -u docker")
        case requests.exceptions.RequestException():
            return EngineError("the connection to the engine broke", "systemctl status docker")
        case _:
            return EngineError(f"the engine cannot be used: {error}", "docker info")


def find(client: DockerClient) -> Container | None:
    """Return the appliance's container, whether it runs or not, or None; of several the one that runs."""
    labels = [f"{PROJECT_LABEL}={PROJECT}", f"{SERVICE_LABEL}={SERVICE}", f"{ONE_OFF_LABEL}=False"]
    found = client.containers.list(all=True, filters={"label": labels})
    return min(found, key=lambda container: container.status != "running", default=None)


def get(client: DockerClient) -> Container:
    """Return the appliance's container. Raises DeployError if there is none."""
    if (container := find(client)) is None:
        raise DeployError("there is no container of Holdfast here", "docker compose up --detach")
    return container


def published(client: DockerClient) -> frozenset[int]:
    """Return the ports of this host that lead to the appliance's container; none if it does not run."""
    container = find(client)
    return frozenset() if container is None else ports_of(container.attrs)


def ports_of(inspected: Mapping[str, Any]) -> frozenset[int]:
    """Return the same of a container as the engine inspects it. With host networking its own ports are the host's."""
    if not inspected["State"]["Running"]:
        return frozenset()
    if inspected["HostConfig"]["NetworkMode"] == "host":
        exposed = inspected["Config"].get("ExposedPorts") or {}
        return frozenset(int(port.partition("/")[0]) for port in exposed)
    ports = inspected["NetworkSettings"].get("Ports") or {}
    return frozenset(int(binding["HostPort"]) for bindings in ports.values() for binding in bindings or ())


def _how_to_reach(error: DockerException) -> str:
    if "Permission denied" in str(error):
        return "be root, or of the group docker: sudo usermod -aG docker $USER"
    return "systemctl start docker"


def _hint(explanation: str) -> str:
    if "port is already allocated" in explanation or "address already in use" in explanation:
        return "holdfast-deploy preflight tells who has the port"
    if "no space left" in explanation:
        return "docker system df"
    return "journalctl -u docker tells more"
