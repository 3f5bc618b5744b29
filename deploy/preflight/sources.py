"""Whether a directory of this host can be shared: does it give handles that open, on what is it, how much is free."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from appliance.errors import HoldfastError, PermissionMissing
from appliance.fuse.source import Source
from appliance.supervisor import mountinfo
from deploy.preflight.finding import Finding, failed, note, ok, unknown

_SCARCE_PERCENT = 5
_GIB = 1 << 30


def look(directory: Path, *, shared: bool) -> Finding:
    """Look at a directory; `shared` ones have to give handles, others may only have such ones below them."""
    subject = f"source {directory}"
    if not directory.is_dir():
        return failed(subject, "there is no such directory", f"mkdir -p {directory}")
    kind = filesystem(directory)
    if kind == "overlay" and directory.stat().st_dev == Path("/").stat().st_dev:
        return failed(subject, "it is on a container's own filesystem, which is gone with the container",
                      f"docker run --volume {directory}:{directory} ...")
    room = _room(directory)
    if os.geteuid() != 0:
        return unknown(subject, f"{kind}, {room[1]}; only root can try handles", "sudo holdfast-deploy preflight")
    try:
        source = Source.open(directory)
    except PermissionMissing as error:
        return failed(subject, error.message, f"sudo holdfast-deploy preflight {directory}  # {error.hint}")
    except HoldfastError as error:
        mend = f"mkfs.ext4 DEVICE && mount DEVICE {directory}  # {error.hint or error.code}"
        said = f"{kind}: {error.message}"
        return failed(subject, said, mend) if shared else note(subject, f"{said}; what is below it may be shareable")
    try:
        says = f"{kind}, handles open ({source.codec.kind}), {room[1]}"
    finally:
        source.close()
    if room[0]:
        return note(subject, f"{says}: nearly full", f"du -xh --max-depth 1 {directory} | sort -h")
    return ok(subject, says)


def filesystem(directory: Path, table: Path = mountinfo.MOUNTINFO) -> str:
    """Return the type of the filesystem that a directory is on."""
    here = directory.resolve()
    for path in (here, *here.parents):
        if seen := mountinfo.at(path, table):
            return seen.kind
    return "?"


def _room(directory: Path) -> tuple[bool, str]:
    usage = shutil.disk_usage(directory)
    scarce = usage.free * 100 < usage.total * _SCARCE_PERCENT
    return scarce, f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB free"
