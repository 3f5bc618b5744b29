"""Whether a container of the appliance is ready: what its own health check says, whatever its ports lead to."""

from __future__ import annotations

import time

from docker.errors import APIError
from docker.models.containers import Container

from deploy.console import step
from deploy.errors import DeployError

START_SECONDS = 180.0
PATIENT_SECONDS = 900.0  # where there is nothing better to do than to wait
_LOOK_SECONDS = 0.2
_TAIL = 30


class NotReadyError(DeployError):
    """The container ended, or did not become ready in time; the message has the end of its log."""

    code = "not-ready"


def is_ready(container: Container) -> bool:
    """Run the health check of a running container's image in it."""
    test: list[str] = (container.attrs["Config"].get("Healthcheck") or {}).get("Test") or []
    match test:
        case ["CMD", *argv]:
            command = argv
        case ["CMD-SHELL", line]:
            command = ["/bin/sh", "-c", line]
        case _:
            raise DeployError("the container has no health check", "use an image of Holdfast")
    try:
        return bool(container.exec_run(command).exit_code == 0)
    except APIError:  # it has ended since it was looked at
        return False


def start_and_wait(container: Container, seconds: float = START_SECONDS) -> None:
    """Start a container and wait until it is ready. Raises NotReadyError."""
    with step("Starting the appliance and waiting until it is ready"):
        container.start()
        wait(container, seconds)


def wait(container: Container, seconds: float = START_SECONDS) -> None:
    """Wait until a container is ready. Raises NotReadyError at once if it ends, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        container.reload()
        # "restarting" is what the engine calls a container that ended and is to be tried again.
        if container.status != "running" or container.attrs["RestartCount"]:
            raise NotReadyError(f"the appliance ended; its log ends:\n{tail(container)}", "see its last line")
        if is_ready(container):
            return
        if time.monotonic() > deadline:
            raise NotReadyError(f"the appliance is not ready after {seconds:.0f} s; its log ends:\n{tail(container)}",
                                "holdfast-deploy status")
        time.sleep(_LOOK_SECONDS)


def tail(container: Container) -> str:
    """Return the end of a container's log."""
    return container.logs(tail=_TAIL).decode(errors="replace").rstrip()
