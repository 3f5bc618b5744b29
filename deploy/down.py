"""`make down`: ends what `make up` or `docker compose up` started, in the order in which nothing is lost."""

from __future__ import annotations

from deploy import remove, running, sdk
from deploy.console import say, step
from deploy.errors import CommandError, VmLostError
from deploy.up import local_compose
from deploy.vm.appliance import compose_in
from deploy.vm.session import find


def _on_engine() -> bool:
    try:
        with sdk.engine() as client:
            return remove.down(client)
    except sdk.NoEngineError:
        return False


def down() -> int:
    """Take the container down, and the virtual machine if it was in one. Raises CommandError if Docker refuses."""
    if vm := find(running.vm_home()):
        try:
            with step("Stopping the container in the virtual machine"):
                compose_in(vm).run("down")
        except (CommandError, VmLostError) as error:
            say(f"  {error}")  # the machine has to go all the same
        with step(f"Switching the virtual machine off (process {vm.machine.pid})"):
            vm.machine.power_off()
    elif (now := running.load()) and now.where == "engine":
        with step("Stopping the container; its state volume and the shared directories stay"):
            local_compose(now.nfs_port, now.api_port).run("down")
    elif not _on_engine():
        say("Nothing runs here.")
    running.forget()
    return 0
