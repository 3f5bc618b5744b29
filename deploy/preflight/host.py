"""What of the host stands in the way: ports that are taken, security modules, how its Docker engine is set up."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deploy.commands import succeeds
from deploy.preflight.finding import Finding, failed, note, ok, unknown

ROOT = Path("/")
RPCBIND = 111
NFS = 2049


def security_modules(root: Path = ROOT) -> list[Finding]:
    """Look at AppArmor and SELinux."""
    found = []
    apparmor = root / "sys/module/apparmor/parameters/enabled"
    if apparmor.exists() and apparmor.read_text().strip() == "Y":
        found.append(note("AppArmor", "it is on; compose.yaml asks for apparmor=unconfined, since Docker's profile "
                          "forbids mounts"))
    enforce = root / "sys/fs/selinux/enforce"
    if enforce.exists() and enforce.read_text().strip() == "1":
        found.append(failed("SELinux", "it is enforcing, and container_t may not mount",
                            "printf 'services: {holdfast: {security_opt: [\"label=disable\"]}}\\n' "
                            "> compose.override.yaml"))
    return found or [ok("security modules", "none is in force that would forbid mounts")]


def port(number: int, owner: str, ours: bool) -> Finding:
    """Look whether a TCP port of this host is free; `ours` tells that the appliance runs and has it."""
    subject = f"port {number}"
    if ours:
        return ok(subject, "this appliance has it")
    try:
        _bind(number)
    except OSError as error:
        if isinstance(error, PermissionError):
            return unknown(subject, "only root can try it", "sudo holdfast-deploy preflight")
        setting = "HOLDFAST_NFS_BIND" if number == NFS else "HOLDFAST_API_BIND"
        return failed(subject, f"{owner} needs it and somebody listens there",
                      f"ss -ltnp 'sport = :{number}'  # stop who it is, or set {setting} to another port")
    return ok(subject, f"it is free for {owner}")


def rpcbind(number: int = RPCBIND) -> Finding:
    """Look for a portmapper, which is in nobody's way but NFSv3's with host networking."""
    try:
        _bind(number)
    except PermissionError:
        return note("rpcbind", f"port {number} cannot be tried without root; only NFSv3 with host networking needs it")
    except OSError:
        return note("rpcbind", f"it runs on this host (port {number}): in the way only of NFSv3 with host networking",
                    "systemctl disable --now rpcbind.socket rpcbind.service  # only for that")
    return ok("rpcbind", f"port {number} is free, should NFSv3 be served with host networking")


def own_server(root: Path = ROOT) -> Finding:
    """Look for an NFS server of the host's own, which is another one than the container's."""
    threads = root / "proc/fs/nfsd/threads"
    try:
        running = threads.read_text().strip()
    except OSError:
        running = "0"
    if running in ("", "0"):
        return ok("host's NFS server", "it does not run")
    return note("host's NFS server", f"it runs with {running} threads, in another network namespace: only its port "
                "is in the way, and host networking is out of the question")


def engine(info: Mapping[str, Any]) -> list[Finding]:
    """Judge what the Docker engine says of itself (`docker info`)."""
    name = f"Docker {info.get('ServerVersion', '?')}"
    options = [str(option) for option in info.get("SecurityOptions") or ()]
    found = [ok(name, f"it answers; cgroup v{info.get('CgroupVersion', '1')}, {info.get('CgroupDriver', '?')}")]
    if info.get("KernelVersion") != os.uname().release:
        found.append(failed(name, f"it runs on another kernel ({info.get('KernelVersion')}), where this cannot look",
                            "docker context use default  # or run preflight where the engine is"))
    if _has(options, "rootless"):
        found.append(failed(name, "it is rootless, and handles open only in the initial user namespace",
                            "docker context use default  # the engine of root"))
    if _has(options, "userns"):
        found.append(failed(name, "it maps users (userns-remap), and handles open only in the initial user namespace",
                            "printf 'services: {holdfast: {userns_mode: host}}\\n' > compose.override.yaml"))
    if not _has(options, "seccomp"):
        found.append(note(name, "it has no seccomp: containers can call all that the kernel has"))
    return found


def compose() -> Finding:
    """Look for `docker compose`."""
    if succeeds(("docker", "compose", "version")):
        return ok("docker compose", "it is there")
    return failed("docker compose", "it is not installed", "apt-get install docker-compose")


def _has(options: Iterable[str], name: str) -> bool:
    return any(option.startswith(f"name={name}") for option in options)


def _bind(number: int) -> None:
    with socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET) as probe:
        if probe.family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("", number))
