"""A container beside the appliance's, of the same image and, if need be, with the same state volume, for one command.

It has no network, no device and none of the appliance's rights but those over the files of the state. What it works on
lies in its own filesystem and goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from docker import DockerClient
from docker.models.containers import Container

from deploy.errors import DeployError

STATE = "/var/lib/holdfast"
INBOX = "/mnt"  # no volume: what is unpacked there meets nothing of the state
STAGE = f"{INBOX}/backup"
_RUN_SECONDS = 900  # else the SDK's own patience with the engine would be that with the command
# Files of rpc.statd belong to a user of its own; the rest is to give files back to their owners.
_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER"]


class HelperError(DeployError):
    """What the helper was to do failed; the message is what it said."""

    code = "helper"


@contextmanager
def helper(client: DockerClient, image: str, volume: str | None, *command: str) -> Iterator[Container]:
    """Give such a container, created and not started; it is removed after the block. No volume: it has no state."""
    created = client.containers.create(
        image,
        ["python", "-m", *command],
        volumes={} if volume is None else {volume: {"bind": STATE, "mode": "rw"}},
        network_mode="none",
        cap_drop=["ALL"],
        cap_add=_CAPABILITIES,
        security_opt=["no-new-privileges:true"],
        healthcheck={"test": ["NONE"]},
        labels={"holdfast.helper": command[0]},
    )
    try:
        yield created
    finally:
        created.remove(force=True, v=volume is None)  # with the nameless volume that the image asks for then


def run(container: Container) -> str:
    """Run it to its end and return what it printed. Raises HelperError."""
    container.start()
    status = int(container.wait(timeout=_RUN_SECONDS)["StatusCode"])
    said = container.logs().decode(errors="replace").strip()
    if status != 0:
        raise HelperError(said or f"status {status}")
    return said


def fetch(container: Container, path: str, file: BinaryIO) -> int:
    """Write a directory of the container to a file, as a tar archive, and return its size in bytes."""
    chunks, _ = container.get_archive(path)
    return sum(file.write(chunk) for chunk in chunks)


def send(container: Container, archive: Path) -> None:
    """Unpack a tar archive into the container's inbox."""
    with archive.open("rb") as file:
        container.put_archive(INBOX, cast("bytes", file))  # a file is streamed; the stubs know of bytes only


def state_volume(container: Container) -> str:
    """Return the name of the volume that the appliance's container has its state on. Raises DeployError."""
    for mount in container.attrs["Mounts"]:
        if mount["Destination"] == STATE:
            return str(mount.get("Name") or mount["Source"])
    raise DeployError(f"the container has no volume at {STATE}", "start it with compose.yaml")


def image_of(container: Container) -> str:
    """Return the id of the image that a container was made from; it need not have a name any more."""
    return str(container.attrs["Image"])
