"""Whether this machine can run the container itself: it has a Docker engine, and an NFS server in its kernel."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from deploy.commands import run, succeeds
from deploy.console import step
from deploy.image import IMAGE_NAME, image_key
from deploy.paths import CHECKOUT, state_root

OLDEST_KERNEL = (6, 9)  # FUSE_NOTIFY_RESEND


def obstacle() -> str | None:
    """Return what keeps the container from running on this machine, or None if nothing does."""
    try:
        kernel: str = docker.from_env().info()["KernelVersion"]
    except DockerException:
        return "no Docker engine answers"
    if kernel != os.uname().release:
        return f"the Docker engine runs on another kernel ({kernel})"
    if kernel_version(kernel) < OLDEST_KERNEL:
        return f"kernel {kernel} is older than {'.'.join(map(str, OLDEST_KERNEL))}"
    if not succeeds(("docker", "compose", "version")):
        return "`docker compose` is not installed"
    if "nfsd" not in Path("/proc/filesystems").read_text().split() and not succeeds(("modprobe", "nfsd")):
        return "the kernel has no NFS server (nfsd), or only root may load it"
    return None


def kernel_version(release: str) -> tuple[int, int]:
    """Read the version out of a kernel's release; (0, 0) if it says none."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def build_image() -> None:
    """Have the engine build the image, unless it has the one that it built from these sources. Raises CommandError."""
    record = state_root() / "engine-image.json"
    sources = image_key()
    if record.exists() and json.loads(record.read_text()) == [sources, _image_id()]:
        return
    with step("Building the image with the Docker engine") as current:
        run(("docker", "compose", "build"), step=current, cwd=CHECKOUT)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps([sources, _image_id()]))


def _image_id() -> str:
    try:
        return str(docker.from_env().images.get(IMAGE_NAME).id)
    except ImageNotFound:
        return ""
