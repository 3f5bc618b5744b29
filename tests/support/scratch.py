"""Private work directories, named after the process that made them, and what is mounted below them.

The name is what makes cleaning up certain: whoever finds a directory whose maker is gone may take it apart,
mounts and all, and can be sure that it belongs to no one else.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.linux import mounts
from tests.support.processes import alive

_PREFIX = "holdfast-test"
_MNT_FORCE = 1


@contextmanager
def scratch_directory(owner: int | None = None) -> Iterator[Path]:
    """Make a private work directory; on the way out unmount what is left below it and remove it."""
    prefix = f"{_PREFIX}-{owner or os.getpid()}-"
    path = Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o755)
    try:
        yield path
    finally:
        demolish(path)


def mounted_below(path: Path) -> list[Path]:
    """Return what is mounted at or below `path`, the innermost last mounted first."""
    found = []
    for line in Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines():
        place = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[1]))
        if place == path or path in place.parents:
            found.append(place)
    return found[::-1]


def unmount_below(path: Path) -> None:
    """Unmount everything at and below `path`, in use or not."""
    for place in mounted_below(path):
        # By force first: whoever waits there for a FUSE daemon that is no more, or is that daemon, waits no longer.
        with suppress(OSError):
            mounts.umount(place, _MNT_FORCE)
    for place in mounted_below(path):
        mounts.umount(place, mounts.MNT_DETACH)


def demolish(path: Path) -> None:
    """Unmount everything below `path`, in use or not, and remove it."""
    unmount_below(path)
    if left := mounted_below(path):
        raise RuntimeError(f"{left} is mounted still, so {path} is not removed")
    shutil.rmtree(path)


def sweep(owner: int | None = None) -> None:
    """Demolish the work directories of `owner`, or of every test run that is no more."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        maker = int(path.name.split("-")[2])
        if maker == owner or (owner is None and not alive(maker)):
            demolish(path)
