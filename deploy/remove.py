"""`uninstall`: everything that the appliance has on this machine goes, except what cannot be made again."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from docker import DockerClient
from docker.errors import ImageNotFound, NotFound
from docker.models.containers import Container

from deploy import sdk
from deploy.console import say, step
from deploy.errors import DeployError
from deploy.image import IMAGE_NAME

_STOP_SECONDS = 60


@dataclass(frozen=True)
class Remains:
    """What there is to remove: a sentence each, and how it is done."""

    removed: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def uninstall(*, state: bool, sure: bool, ask: Callable[[str], str] = input) -> int:
    """Say what will be removed, ask unless `sure`, and remove it; the state volume only if `state`."""
    with sdk.engine() as client:
        remains = find(client, state=state)
        if not remains.removed:
            say("There is nothing of Holdfast on this engine.")
            return 0
        for text, _ in remains.removed:
            say(f"  remove  {text}")
        for text in remains.kept:
            say(f"  keep    {text}")
        if not sure and not _agreed(ask):
            raise DeployError("nothing was removed", "answer yes, or say --yes")
        for text, remove in remains.removed:
            with step(f"Removing {text}"), contextlib.suppress(NotFound, ImageNotFound):
                remove()
    return 0


def down(client: DockerClient) -> bool:
    """Remove containers and networks, as `docker compose down` does; tell whether there were any."""
    remains = find(client, state=False, image=False)
    for text, remove in remains.removed:
        with step(f"Removing {text}"), contextlib.suppress(NotFound):
            remove()
    return bool(remains.removed)


def find(client: DockerClient, *, state: bool, image: bool = True) -> Remains:
    """Return what there is of the appliance on an engine."""
    remains = Remains()
    label: dict[str, str | list[str] | bool] = {"label": f"{sdk.PROJECT_LABEL}={sdk.PROJECT}"}
    for container in client.containers.list(all=True, filters=label):
        text = f"the container {container.name}, stopped in order: clients wait or give up"
        remains.removed.append((text, partial(_end, container)))
    for network in client.networks.list(filters=label):
        remains.removed.append((f"the network {network.name}", network.remove))
    if image:
        with contextlib.suppress(ImageNotFound):
            client.images.get(IMAGE_NAME)
            remains.removed.append((f"the image {IMAGE_NAME}", partial(client.images.remove, IMAGE_NAME)))
    for volume in client.volumes.list(filters=label):
        text = f"the volume {volume.name}: shares, fsids and keys, without which every handle of every client is stale"
        if state:
            remains.removed.append((text, volume.remove))
        else:
            remains.kept.append(f"{text} (--state removes it)")
    remains.kept.append("the shared directories")
    return remains


def _end(container: Container) -> None:
    container.stop(timeout=_STOP_SECONDS)
    container.remove()


def _agreed(ask: Callable[[str], str]) -> bool:
    if not sys.stdin.isatty():
        return False
    return ask("Remove this? (yes/no) ").strip().lower() == "yes"
