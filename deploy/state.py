"""`backup` and `restore`: the state volume as one file on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from docker import DockerClient
from docker.models.containers import Container

from deploy import helper, sdk
from deploy.console import say, step
from deploy.errors import DeployError
from deploy.ready import PATIENT_SECONDS, start_and_wait

_STOP_SECONDS = 60


def backup(target: Path) -> int:
    """Write a backup to a new file, which only this user can read: keys and token are in it. Raises DeployError."""
    with sdk.engine() as client:
        size = write(client, sdk.get(client), target)
    say(f"The state is in {target} ({size} bytes); `restore` takes it. Who has it can forge handles: keep it safe.")
    return 0


def write(client: DockerClient, container: Container, target: Path) -> int:
    """Write a backup of a container's state, whether it runs or not, and return its size in bytes."""
    volume, image = helper.state_volume(container), helper.image_of(container)
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        # EXCL: the keys do not go to a file that somebody has put there, in /tmp for instance, and holds open.
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise DeployError(f"{target} cannot be written: {error.strerror}", "name a file in another place") from error
    with os.fdopen(descriptor, "wb") as file, step("Copying the state"), \
            helper.helper(client, image, volume, "appliance.backup", "make", helper.STAGE) as copier:
        helper.run(copier)
        size = helper.fetch(copier, helper.STAGE, file)
        os.fsync(file.fileno())
    unfinished.rename(target)
    return size


def restore(source: Path) -> int:
    """Put a backup in the place of the state, with the appliance stopped meanwhile. Raises DeployError."""
    if not source.is_file():
        raise DeployError(f"{source} is not a file", "name one that `backup` has written")
    with sdk.engine() as client:
        container = sdk.get(client)
        ran = container.status == "running"
        volume, image = helper.state_volume(container), helper.image_of(container)
        with helper.helper(client, image, volume, "appliance.backup", "restore", helper.STAGE) as restorer:
            helper.send(restorer, "/", source)
            with step("Stopping the appliance"):
                container.stop(timeout=_STOP_SECONDS)
            try:
                with step("Restoring the state"):
                    helper.run(restorer)
            finally:
                if ran:
                    start_and_wait(container, PATIENT_SECONDS)
    say("The state is that of the backup. What it was before is on the state volume, in .before-restore.")
    return 0
