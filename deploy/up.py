"""`make up`: the appliance, running and tried, on this machine's Docker engine or else in a virtual machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from deploy import demo, engine, running
from deploy.appliance import Compose, connect, start
from deploy.console import say
from deploy.debian import install, require_root_on_debian
from deploy.errors import DeployError, VmLostError
from deploy.image import image_key
from deploy.paths import CHECKOUT
from deploy.places import Here
from deploy.rest import Json, Rest
from deploy.running import Running, port_or_free
from deploy.vm import appliance as inside
from deploy.vm.machine import Forward, Spec
from deploy.vm.session import Vm, boot, find

API_PORT = 8080
NFS_PORT = 2049
CLIENT_PACKAGES = ("nfs-common",)


def up() -> int:
    """Bring the appliance up unless it is, try it, and say how to use it. Raises DeployError."""
    if vm := find(running.vm_home()):
        _again(vm)
    elif (why_not := engine.obstacle()) is None:
        _on_engine()
    else:
        say(f"Not on this machine itself: {why_not}. So the container will run in a virtual machine.")
        _in_vm()
    return 0


def shell() -> int:
    """Turn into a shell in the virtual machine that `up` started. Raises DeployError if there is none."""
    if (vm := find(running.vm_home())) is None:
        raise DeployError("there is no virtual machine of `make up`", "make up")
    sys.stdout.flush()
    argv = vm.channel.argv()
    os.execvp(argv[0], [argv[0], "-t", *argv[1:]])


def local_compose(nfs_port: int, api_port: int) -> Compose:
    """Return the compose file for this machine's engine, and for this machine's own clients."""
    # Docker's proxy, which brings in IPv6 from anywhere, gives its requests the address of the container's gateway;
    # the demo's share lets that in as root.
    variables = {"HOLDFAST_NFS_BIND": f"127.0.0.1:{nfs_port}", "HOLDFAST_API_BIND": f"127.0.0.1:{api_port}",
                 "HOLDFAST_SOURCES": _sources()}
    return Compose(Here(), tuple(map(str, compose_files(CHECKOUT))), variables)


def compose_files(directory: Path) -> list[Path]:
    """Return what `docker compose` reads there by itself: its file, and a user's own additions to it."""
    additions = directory / "compose.override.yaml"
    return [directory / "compose.yaml", *([additions] if additions.exists() else [])]


def _sources() -> str:
    return os.environ.get("HOLDFAST_SOURCES", "/srv")


def _on_engine() -> None:
    before = running.load()
    ports = (before.nfs_port, before.api_port) if before else (port_or_free(NFS_PORT), port_or_free(API_PORT))
    now = Running("engine", *ports)
    if os.geteuid() == 0:
        install(CLIENT_PACKAGES)
    engine.build_image()
    compose = local_compose(*ports)
    rest = start(compose, now.api_port)
    now.save(rest.token)
    directory = f"{_sources()}/{demo.NAME}"
    demo.make_source(compose.place, directory)
    demo.make_share(rest, _clients_on_engine(compose))
    demo.try_with_kernel(compose.place, "127.0.0.1", now.nfs_port, directory)
    _tell(now, rest, "this machine's Docker engine")


def _clients_on_engine(compose: Compose) -> list[Json]:
    # This machine's own requests come from the gateway of the container's network, and Docker's proxy sends them from
    # any port, those of every user: so nobody is root there, nor anybody else. No others are let in by default.
    inspected = json.loads(compose.place.execute(("docker", "network", "inspect", "holdfast_default")))
    subnets = [config["Subnet"] for network in inspected for config in network["IPAM"]["Config"]]
    return [{"network": subnet, "access": "rw", "squash": "all", "secure_ports": False} for subnet in subnets]


def _in_vm() -> None:
    require_root_on_debian()
    install(inside.PACKAGES)
    disks = inside.appliance_disks()
    running.forget()
    home = running.vm_home()
    home.mkdir(parents=True)
    now = Running("vm", port_or_free(NFS_PORT), port_or_free(API_PORT), disks.image_key)
    forwards = (Forward(now.nfs_port, inside.NFS_PORT), Forward(now.api_port, inside.API_PORT))
    vm = boot(Spec(disks.system, forwards=forwards, drives=disks.drives), home, outlive_us=True)
    _, rest = inside.start_in(vm, disks, now.api_port)
    now.save(rest.token)
    _try_in_vm(vm, now, rest)


def _again(vm: Vm) -> None:
    now = running.load()
    if now is None:
        raise VmLostError("a virtual machine runs whose start did not finish", "make down, then make up")
    say("The virtual machine runs already; `make down` ends it.")
    if now.image != image_key():
        say("It runs the sources as they were when it was started: `make down` and `make up` bring the new ones.")
    _try_in_vm(vm, now, connect(inside.compose_in(vm), now.api_port, running.token_file().read_text().strip()))


def _try_in_vm(vm: Vm, now: Running, rest: Rest) -> None:
    demo.make_source(vm.channel, demo.SOURCE)
    demo.make_share(rest, [{**inside.EVERYBODY, "squash": "all"}])
    demo.try_with_kernel(vm.channel, inside.ADDRESS, inside.NFS_PORT, demo.SOURCE)
    demo.try_port(now.nfs_port)
    _tell(now, rest, "a virtual machine (`make shell` looks into it)")


def _tell(now: Running, rest: Rest, place: str) -> None:
    for wanted, port, what in ((NFS_PORT, now.nfs_port, "NFS"), (API_PORT, now.api_port, "the API")):
        if port != wanted:
            say(f"Port {wanted} was taken, so {what} has {port}.")
    sys.stdout.write(f"""
Holdfast is up in {place}.
  mount   mount -t nfs4 -o {demo.mount_options(now.nfs_port)} 127.0.0.1:/{demo.NAME} /mnt
  API     {rest.url}  (described at {rest.url}/docs)
  token   {running.token_file()}
  end     make down
""")
