"""`backup` and `restore`: the state volume as one file on this machine."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path, PurePosixPath

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
    """Put a backup in the place of the state, with the appliance stopped meanwhile.

    The appliance runs on untouched if it is not a sound backup. Raises DeployError.
    """
    _look_at(source)
    with sdk.engine() as client:
        container = sdk.get(client)
        ran = container.status == "running"
        volume, image = helper.state_volume(container), helper.image_of(container)
        _verify(client, image, source)
        with helper.helper(client, image, volume, "appliance.backup", "restore", helper.STAGE) as restorer:
            helper.send(restorer, source)
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


def _look_at(source: Path) -> None:
    """Raise DeployError if an archive has anything but files and directories below the one that is a backup.

    The engine unpacks it as root where the state volume is mounted, and follows links that the archive itself has made.
    """
    hint = "name one that `backup` has written"
    if not source.is_file():
        raise DeployError(f"{source} is not a file", hint)
    try:
        with tarfile.open(source, "r:") as tar:
            strange = next((member.name for member in tar if not _harmless(member)), None)
    except (OSError, tarfile.TarError) as error:
        raise DeployError(f"{source} cannot be read as a backup: {error}", hint) from error
    if strange is not None:
        raise DeployError(f"{source} is no backup of Holdfast: {strange!r} is in it", hint)


def _harmless(member: tarfile.TarInfo) -> bool:
    parts = PurePosixPath(member.name).parts
    inside = parts[:1] == (PurePosixPath(helper.STAGE).name,) and ".." not in parts
    return inside and (member.isfile() or member.isdir())


def _verify(client: DockerClient, image: str, source: Path) -> None:
    """Have every file of a backup looked at where no state can be touched. Raises DeployError."""
    with step("Verifying the backup"), \
            helper.helper(client, image, None, "appliance.backup", "verify", helper.STAGE) as verifier:
        helper.send(verifier, source)
        helper.run(verifier)
