"""A second machine with the appliance, whose power can be cut: the machine of the other tests is its NFS client."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from os import kill
from pathlib import Path

from deploy.appliance import Compose
from deploy.paths import state_root
from deploy.rest import Rest
from deploy.vm.appliance import API_PORT, NFS_PORT, appliance_disks, compose_in, start_in
from deploy.vm.channel import Channel, make_keys
from deploy.vm.machine import SSH_PORT, Forward, Machine, Spec
from deploy.vm.preload import wait_for_docker
from deploy.vm.session import Vm, free_port

HOST = "10.0.2.2"  # this machine, as a virtual machine with QEMU's user network sees it
_OFF_SECONDS = 20.0
_READY_SECONDS = 300.0


class Second:
    """The machine. Its disk outlives its power, its memory does not."""

    def __init__(self, spec: Spec, home: Path, ssh: int, api: int, nfs: int) -> None:
        self._spec = spec
        self._home = home
        self._api = api
        self.nfs_port = nfs
        self._machine: Machine | None = None
        self.channel = Channel(home, ssh)

    def power_on(self) -> Vm:
        """Boot. Raises VmLostError."""
        (self._home / "serial.log").unlink(missing_ok=True)  # which says that the boot before this one was ready
        self._machine = Machine.start(self._spec, self._home)
        self._machine.wait_until_ready(300)
        return Vm(self._machine, self.channel)

    def cut_power(self) -> None:
        """End the machine in the middle of what it does: what is not on its disk by now is lost."""
        if self._machine is not None and self._machine.alive():
            kill(self._machine.pid, signal.SIGKILL)
            assert self._machine.wait_until_off(_OFF_SECONDS)

    def reconnect(self, vm: Vm, token: str) -> tuple[Compose, Rest]:
        """Wait for the appliance that Docker starts again by itself after a boot."""
        wait_for_docker(vm)
        rest = Rest(self._api, token)
        rest.wait_until_ready(_READY_SECONDS, hopeless=lambda: False)
        return compose_in(vm), rest


@contextmanager
def second_machine() -> Iterator[tuple[Second, Rest, Compose]]:
    """Give the machine with the appliance up and no share."""
    disks = appliance_disks()
    runs = state_root() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vm-second-", dir=runs) as directory, ExitStack() as stack:
        home = Path(directory)
        make_keys(home)
        ssh, api, nfs = free_port(), free_port(), free_port()
        forwards = (Forward(ssh, SSH_PORT), Forward(api, API_PORT), Forward(nfs, NFS_PORT))
        spec = Spec(disks.system.copy_to(home), forwards=forwards, drives=disks.drives, keep_changes=True)
        second = Second(spec, home, ssh, api, nfs)
        stack.callback(second.cut_power)
        vm = second.power_on()
        compose, rest = start_in(vm, disks, api)
        # Once the image is loaded the second disk is of no use any more.
        second._spec = replace(spec, drives=())
        yield second, rest, compose
