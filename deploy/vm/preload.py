"""A system disk whose Docker engine has the appliance's image already, so that a start need not load it.

Unpacking the image under emulation takes longer than all the rest of a start.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deploy.cache import Cache, digest
from deploy.console import step
from deploy.errors import CommandError, VmLostError
from deploy.image import Image
from deploy.vm.machine import Spec
from deploy.vm.session import booted
from deploy.vm.system import SystemDisk, system_disk, system_key

# The archive is the second disk: `docker load` stops reading where the tar format says that it ends.
LOAD = """set -e
until docker info > /dev/null 2>&1; do sleep 0.3; done
docker load < /dev/vdb
kill "$(cat /run/docker.pid)"
while [ -e /run/docker.pid ]; do sleep 0.2; done
sync
"""
# The kernel's own orderly way down without an init system: sync, all filesystems read-only, off.
POWER_OFF = "(sleep 0.5; for key in s u o; do echo $key > /proc/sysrq-trigger; sleep 0.5; done) > /dev/null 2>&1 &"
POWER_OFF_SECONDS = 60.0


def loaded_disk(cache: Cache, image: Image) -> SystemDisk:
    """Return the system disk with this image in it, made if it is not there yet. Raises DeployError."""
    system = system_disk(cache)

    def build(home: Path) -> None:
        _load(system.copy_to(home), image)

    return SystemDisk.within(cache.get("loaded", digest([system_key(), LOAD, image.key]), build))


def _load(system: SystemDisk, image: Image) -> None:
    with booted(replace(Spec(system), drives=(image.archive,), keep_changes=True)) as vm:
        with step("Loading the image into the virtual machine's Docker engine"):
            done = vm.channel.run(LOAD)
        if done.status != 0:
            raise CommandError(("docker", "load"), done.status, done.stdout)
        vm.channel.run(POWER_OFF)
        if not vm.machine.wait_until_off(POWER_OFF_SECONDS):
            raise VmLostError("the virtual machine did not power off after the image was loaded")
