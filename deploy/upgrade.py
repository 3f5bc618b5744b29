"""`upgrade`: another image in the place of the one that runs; clients see a pause, or, if it fails, nothing new.

The new image is tried first, with the same rights and the state beside the running appliance. Only then is the old
container stopped and the new one started. If that does not become ready, the old one is started again.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from deploy import helper, renewal, sdk, state
from deploy.console import say, step
from deploy.errors import DeployError
from deploy.image import IMAGE_NAME
from deploy.paths import state_root
from deploy.ready import PATIENT_SECONDS, START_SECONDS, tail, wait

_STOP_SECONDS = 60
_TRIAL = ["python", "-m", "appliance.trial"]
_NEXT = "-next"


class UpgradeError(DeployError):
    """The new image was not taken into use; the one before it serves."""

    code = "upgrade"


def upgrade(name: str = IMAGE_NAME, *, pull: bool = False, seconds: float = START_SECONDS) -> int:
    """Have the appliance run the image of this name. Raises UpgradeError, with the old image serving as before."""
    with sdk.engine() as client:
        old = sdk.get(client)
        if pull:
            with step(f"Pulling {name}"):
                client.images.pull(name)
        new_image = str(client.images.get(name).id)
        if new_image == helper.image_of(old):
            say(f"The appliance runs {name} ({new_image[:19]}) already.")
            return 0
        if old.status != "running":
            raise DeployError("the appliance does not run, so there is nothing to hand over", "docker compose up -d")
        config = _config(client, old, new_image)
        _try_out(client, config)
        kept = _backup(client, old)
        gap = _swap(client, old, config, seconds, kept)
    say(f"The appliance runs {name} ({new_image[:19]}); from the order to stop until it was ready: {gap:.1f} s.")
    say(f"The state before that is in {kept}.")
    return 0


def _config(client: DockerClient, old: Container, new_image: str) -> renewal.Json:
    try:
        image = client.images.get(helper.image_of(old)).attrs
    except NotFound:  # removed by force; then nothing is known of what was its own
        image = {}
    return renewal.renewed(old.attrs, image, new_image)


def _try_out(client: DockerClient, config: renewal.Json) -> None:
    with step("Trying whether the new image can start"):
        container = _create(client, renewal.trial(config, _TRIAL), None)
        try:
            helper.run(container)
        except (helper.HelperError, APIError) as error:
            reason = error.message if isinstance(error, DeployError) else str(error.explanation)
            raise UpgradeError(f"the new image cannot start here: {reason}", "nothing was changed") from error
        finally:
            container.remove(force=True)


def _backup(client: DockerClient, old: Container) -> Path:
    directory = state_root() / "backups"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = directory / f"before-upgrade-{helper.image_of(old).removeprefix('sha256:')[:12]}.tar"
    state.write(client, old, target)
    return target


def _swap(client: DockerClient, old: Container, config: renewal.Json, seconds: float, kept: Path) -> float:
    """Stop the old container, start the new one, and return how many seconds passed until it was ready."""
    name = str(old.name)
    with contextlib.suppress(NotFound):
        client.containers.get(name + _NEXT).remove(force=True)  # of an upgrade that was killed
    new = _create(client, config, name + _NEXT)
    began = time.monotonic()
    try:
        with step("Swapping the containers"):
            old.stop(timeout=_STOP_SECONDS)
            new.start()
            wait(new, seconds)
    except BaseException as error:
        _roll_back(old, new)
        gap = time.monotonic() - began
        if not isinstance(error, (DeployError, APIError)):
            raise
        reason = error.message if isinstance(error, DeployError) else str(error.explanation)
        raise UpgradeError(f"the new image was rolled back, the old one serves again after {gap:.1f} s: {reason}",
                           f"should the old one miss something: holdfast-deploy restore {kept}") from error
    gap = time.monotonic() - began
    old.remove()
    new.rename(name)
    return gap


def _roll_back(old: Container, new: Container) -> None:
    with step("Rolling back"):
        with contextlib.suppress(APIError):
            say(tail(new))
        with contextlib.suppress(NotFound):
            new.stop(timeout=_STOP_SECONDS)
            new.remove(force=True)
        old.start()
        wait(old, PATIENT_SECONDS)


def _create(client: DockerClient, config: renewal.Json, name: str | None) -> Container:
    created = client.api.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
    return client.containers.get(created["Id"])
