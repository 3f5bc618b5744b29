"""What of the host stands in the way: security modules, an NFS server of its own, how its Docker engine is set up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deploy.commands import succeeds
from deploy.preflight.finding import Finding, failed, note, ok

ROOT = Path("/")


def security_modules(root: Path = ROOT, *, unit: bool = False) -> list[Finding]:
    """Look at AppArmor and SELinux; `unit` if Podman's unit is to start the container, which turns both off for it."""
    found = []
    apparmor = root / "sys/module/apparmor/parameters/enabled"
    if apparmor.exists() and apparmor.read_text().strip() == "Y":
        found.append(note("AppArmor", f"it is on; {'the unit' if unit else 'compose.yaml'} asks for "
                          "apparmor=unconfined, since the engine's profile forbids mounts"))
    enforce = root / "sys/fs/selinux/enforce"
    if enforce.exists() and enforce.read_text().strip() == "1":
        found.append(
            note("SELinux", "it is enforcing; the unit asks for label=disable, since container_t may not mount")
            if unit else
            failed("SELinux", "it is enforcing, and container_t may not mount",
                   "printf 'services: {holdfast: {security_opt: [\"label=disable\"]}}\\n' > compose.override.yaml")
        )
    return found or [ok("security modules", "none is in force that would forbid mounts")]


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
