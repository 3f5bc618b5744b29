"""A second machine with the appliance, whose power can be cut: the machine of the other tests is its NFS client.

What a cut loses and what it does not: QEMU is killed with SIGKILL, and with it goes all that the machine had in its
memory: pages not written back, names and inodes in journals not yet committed, all of knfsd, the workers, Docker, and
requests that the machine had not handed to its disks. What it had handed over is in the page cache of the machine that
runs QEMU, and survives, whether the guest asked for a flush or not (cache=writeback; the system disk's
cache=unsafe makes no difference here). A real disk may lose that as well. So this shows that what is answered has
left the server's memory, which is what a server can get wrong; that the filesystems order their writes and flushes
rightly is theirs. The order of acknowledgement and storage is looked at more strictly by tests/fuse/test_durability.py.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from os import kill
from pathlib import Path

from deploy.paths import state_root
from deploy.rest import Rest
from deploy.vm.appliance import API_PORT, COMPOSE_FILE, NFS_PORT, start_in
from deploy.vm.channel import Channel, make_keys
from deploy.vm.machine import SSH_PORT, Forward, Machine, Spec
from deploy.vm.preload import ImageDisks
from deploy.vm.session import Vm, free_port

HOST = "10.0.2.2"  # this machine, as a virtual machine with QEMU's user network sees it
_OFF_SECONDS = 20.0
_BOOT_SECONDS = 300.0
_READY_SECONDS = 600.0
_DISK_BYTES = 1 << 30
_SETTINGS = Path(COMPOSE_FILE).with_name("holdfast.env")
_SAMPLES = 100  # as many handles as are checked after each boot; under a storm of renames there are ever new ones
# The disks are the machine's last ones. /etc/fstab has them mounted at each boot before Docker starts the container.
_MAKE_DISKS = """set -e
disks=($(ls /dev/vd? | tail -n {count}))
for kind in {kinds}; do
    mkfs.$kind -q -L $kind ${{disks[0]}}; disks=("${{disks[@]:1}}")
    mkdir -p /srv/$kind
    echo "LABEL=$kind /srv/$kind $kind noatime 0 0" >> /etc/fstab
done
mount -a
for kind in {kinds}; do mkdir /srv/$kind/shared; done
"""


class Second:
    """The machine. Its disks outlive its power, its memory does not."""

    def __init__(self, spec: Spec, home: Path, ssh: int, nfs: int) -> None:
        self._spec = spec
        self._home = home
        self.nfs_port = nfs
        self._machine: Machine | None = None
        self.channel = Channel(home, ssh)

    def power_on(self) -> Vm:
        """Boot. Raises VmLostError."""
        (self._home / "serial.log").unlink(missing_ok=True)  # which says that the boot before this one was ready
        self._machine = Machine.start(self._spec, self._home)
        self._machine.wait_until_ready(_BOOT_SECONDS)
        return Vm(self._machine, self.channel)

    def cut_power(self) -> None:
        """End the machine in the middle of what it does."""
        if self._machine is not None and self._machine.alive():
            kill(self._machine.pid, signal.SIGKILL)
            assert self._machine.wait_until_off(_OFF_SECONDS)

    def await_ready(self, rest: Rest) -> None:
        """Wait for the appliance that Docker starts again by itself after a boot."""
        rest.wait_until_ready(_READY_SECONDS, hopeless=lambda: False)

    def without_drives(self) -> None:
        """Boot without the disk that brought the image: once it is loaded, that one is of no use any more."""
        self._spec = replace(self._spec, drives=())


@contextmanager
def second_machine(disks: ImageDisks, filesystems: Sequence[str]) -> Iterator[tuple[Second, Rest]]:
    """Give the machine with the appliance up and no share; /srv/KIND is a disk of its own with that filesystem."""
    runs = state_root() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vm-second-", dir=runs) as directory, ExitStack() as stack:
        home = Path(directory)
        make_keys(home)
        storage = tuple(home / f"{kind}.raw" for kind in filesystems)
        for disk in storage:
            with disk.open("wb") as file:
                file.truncate(_DISK_BYTES)
        ssh, api, nfs = free_port(), free_port(), free_port()
        forwards = (Forward(ssh, SSH_PORT), Forward(api, API_PORT), Forward(nfs, NFS_PORT))
        spec = Spec(disks.system.copy_to(home), forwards=forwards, drives=disks.drives, storage=storage,
                    keep_changes=True)
        second = Second(spec, home, ssh, nfs)
        stack.callback(second.cut_power)
        vm = second.power_on()
        made = vm.channel.run(_MAKE_DISKS.format(count=len(filesystems), kinds=" ".join(filesystems)))
        assert made.status == 0, made.stdout
        vm.channel.execute(("mkdir", "-p", str(_SETTINGS.parent)))
        vm.channel.execute(("tee", str(_SETTINGS)), b"HOLDFAST_CHECK_SAMPLES=%d\n" % _SAMPLES)
        _, rest = start_in(vm, disks, api)
        second.without_drives()
        yield second, rest
