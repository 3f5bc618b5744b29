"""The appliance inside a virtual machine: the image on its disk, the compose file brought along, ports led out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.appliance import Compose, start
from deploy.cache import Cache
from deploy.console import say, step
from deploy.errors import CommandError, VmLostError
from deploy.image import image
from deploy.paths import CHECKOUT, cache_root
from deploy.rest import Rest
from deploy.vm.machine import Forward, Spec
from deploy.vm.preload import ImageDisks, image_disks, load, wait_for_docker
from deploy.vm.session import Vm, booted, free_port

# What apt installs for all this; setpriv is util-linux's, which every Debian has.
PACKAGES = ("qemu-system-x86", "mmdebstrap", "buildah", "e2fsprogs", "openssh-client")
ADDRESS = "10.0.2.15"  # the machine's own, in QEMU's user network
API_PORT = 8080
NFS_PORT = 2049
COMPOSE_FILE = "/root/holdfast/compose.yaml"
# Only addresses of the machine itself and of QEMU's forwarding can reach it, so everybody who can may do everything.
EVERYBODY = {"network": "0.0.0.0/0", "access": "rw", "squash": "none", "secure_ports": False}
LAB_SHARE = {"name": "share", "source": "/srv/source", "clients": [EVERYBODY]}
PREPARE_SOURCE = """set -e
truncate --size=4G /root/source.img
mke2fs -q -t ext4 /root/source.img
mkdir -p /srv/source /mnt/share
mount -o loop /root/source.img /srv/source
"""
MOUNT = ("mount", "-t", "nfs4", "-o", "vers=4.2", f"{ADDRESS}:/share", "/mnt/share")


def appliance_disks() -> ImageDisks:
    """Return the disks that bring the checkout's image, building what is not there yet. Raises DeployError."""
    cache = Cache(cache_root())
    return image_disks(cache, image(cache))


def compose_in(vm: Vm) -> Compose:
    """Return the compose file in a machine, put there with the profile that it names as both are in the checkout."""
    home = Path(COMPOSE_FILE).parent
    vm.channel.execute(("mkdir", "-p", str(home / "deploy")))
    for name in ("compose.yaml", "deploy/seccomp.json"):
        vm.channel.execute(("tee", str(home / name)), (CHECKOUT / name).read_bytes())
    return Compose(vm.channel, (COMPOSE_FILE,), {"HOLDFAST_API_BIND": f"{ADDRESS}:{API_PORT}"})


def start_in(vm: Vm, disks: ImageDisks, api_port: int) -> tuple[Compose, Rest]:
    """Start the appliance in a machine that was booted from these disks. Raises CommandError, ApiError."""
    wait_for_docker(vm)
    if disks.rest is not None:
        load(vm)
    compose = compose_in(vm)
    return compose, start(compose, api_port)


@dataclass(frozen=True)
class Lab:
    """A machine with the appliance up, an ext4 filesystem at /srv/source shared as "share", and that at /mnt/share."""

    vm: Vm
    compose: Compose
    rest: Rest
    disks: ImageDisks  # the first of /dev/vdb and so on; after them come the disks that were asked for


@contextmanager
def lab(files: Path | None = None, storage: tuple[Path, ...] = ()) -> Iterator[Lab]:
    """Give such a machine for the time of the block; its scripts have the API's address and token at hand.

    `storage` are images of further disks, to which the machine writes.

    A machine that is lost before it is of use is replaced by another, once: nothing was lost with it but time.
    """
    disks = appliance_disks()
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(_lab(disks, files, storage))
        except VmLostError as error:
            say(f"{error}. Trying once more with another machine.")
            machine = stack.enter_context(_lab(disks, files, storage))
        yield machine


@contextmanager
def _lab(disks: ImageDisks, files: Path | None, storage: tuple[Path, ...]) -> Iterator[Lab]:
    port = free_port()
    spec = Spec(disks.system, forwards=(Forward(port, API_PORT),), drives=disks.drives, storage=storage,
                files=files)
    with booted(spec) as vm:
        prepared = vm.channel.run(PREPARE_SOURCE)
        if prepared.status != 0:
            raise CommandError(("sh", "-c", PREPARE_SOURCE), prepared.status, prepared.stdout)
        compose, rest = start_in(vm, disks, port)
        with step("Sharing /srv/source and mounting it at /mnt/share"):
            rest.create_share(LAB_SHARE)
            vm.channel.execute(MOUNT)
            environment = f"export HOLDFAST_URL=http://{ADDRESS}:{API_PORT} HOLDFAST_TOKEN={rest.token}\n"
            vm.channel.execute(("tee", "--append", "/run/lab/environment"), environment.encode())
        yield Lab(vm, compose, rest, disks)
