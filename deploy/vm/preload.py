"""The appliance's image in the Docker engine of the virtual machine, without loading it whole at every start.

Unpacking the image under emulation takes longer than all the rest of a start. So there is a disk that has had an image
loaded once, for its packages; what a change of the sources adds to it is a small archive, loaded when a machine starts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deploy.archive import common_layers, layers, without_layers
from deploy.cache import Cache, digest
from deploy.console import step
from deploy.errors import CommandError, VmLostError
from deploy.image import Image
from deploy.vm.machine import Spec
from deploy.vm.session import Vm, booted
from deploy.vm.system import SystemDisk, system_disk, system_key

# The kernel's own orderly way down without an init system: all filesystems read-only, off. The sync comes first and
# is waited for, since that of the SysRq key is only begun: on a busy machine the disk would lack what was loaded.
POWER_OFF = """kill "$(cat /run/docker.pid)"
while [ -e /run/docker.pid ]; do sleep 0.2; done
sync
(sleep 0.5; for key in u o; do echo $key > /proc/sysrq-trigger; sleep 0.5; done) > /dev/null 2>&1 &"""
POWER_OFF_SECONDS = 60.0
WAIT_FOR_DOCKER = """timeout 180 sh -c 'until docker info; do sleep 0.3; done' > /dev/null 2>&1 && exit
tail -n 50 /var/log/dockerd.log
exit 1"""
# The archive is the second disk: `docker load` stops reading where the tar format says that it ends.
LOAD = "docker load < /dev/vdb && docker image prune --force"


@dataclass(frozen=True)
class ImageDisks:
    """A system disk with the packages of an image, and the archive of what is missing from it; None if nothing is."""

    system: SystemDisk
    rest: Path | None
    image_key: str

    @property
    def drives(self) -> tuple[Path, ...]:
        """The disks besides the system's, as a machine's Spec wants them."""
        return () if self.rest is None else (self.rest,)


def image_disks(cache: Cache, image: Image) -> ImageDisks:
    """Return the disks that bring this image, made if they are not there yet. Raises DeployError."""
    system = system_disk(cache)
    key = digest([system_key(), image.packages_key, LOAD, POWER_OFF])
    packages = cache.get("packages", key, lambda home: _make_packages_disk(system, image, home))
    loaded = json.loads((packages / "loaded.json").read_text())
    if loaded["image"] == image.key:
        return ImageDisks(SystemDisk.within(packages), None, image.key)
    known = common_layers(loaded["layers"], layers(image.archive))
    rest = cache.get("rest", digest([key, *known, image.key]),
                     lambda home: without_layers(image.archive, known, home / "rest.tar"))
    return ImageDisks(SystemDisk.within(packages), rest / "rest.tar", image.key)


def wait_for_docker(vm: Vm) -> None:
    """Wait until the machine's Docker engine answers. Raises CommandError with its log."""
    with step("Waiting for the Docker engine in the virtual machine"):
        _checked(vm, WAIT_FOR_DOCKER, "dockerd")


def load(vm: Vm) -> None:
    """Load the image archive that is the machine's second disk. Raises CommandError."""
    with step("Loading the image into the virtual machine's Docker engine"):
        _checked(vm, LOAD, "docker load")


def _make_packages_disk(system: SystemDisk, image: Image, home: Path) -> None:
    spec = Spec(system.copy_to(home), drives=(image.archive,), keep_changes=True)
    with booted(spec) as vm:
        wait_for_docker(vm)
        load(vm)
        vm.channel.run(POWER_OFF)
        if not vm.machine.wait_until_off(POWER_OFF_SECONDS):
            raise VmLostError("the virtual machine did not power off after the image was loaded")
    (home / "loaded.json").write_text(json.dumps({"image": image.key, "layers": layers(image.archive)}))


def _checked(vm: Vm, script: str, name: str) -> None:
    done = vm.channel.run(script)
    if done.status != 0:
        raise CommandError((name,), done.status, done.stdout)
