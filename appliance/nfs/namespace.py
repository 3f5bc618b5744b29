"""The mount namespace that has nfsd mounted: the first process's, entered by short commands only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from appliance.nfs.commands import run


class NfsNamespace:
    """Runs programs in the mount namespace of another process, and reads and writes files through them.

    Never through /proc/PID/root: a descriptor of a file of nfsd keeps it mounted, and the supervisor has /dev/fuse
    open; appliance.supervisor.first tells why the two must not meet in one process.
    """

    def __init__(self, pid: int, timeout: float) -> None:
        """`timeout` bounds every command, in seconds."""
        self._pid = pid
        self._timeout = timeout

    async def run(self, argv: Sequence[str], *, stdin: str = "") -> str:
        """Run a program in the namespace and return its output; raises CommandError."""
        inside = ["nsenter", "--target", str(self._pid), "--mount", "--", *argv]
        return await run(inside, stdin=stdin, timeout=self._timeout)

    async def read(self, path: Path) -> str:
        """Read a file as it is in the namespace."""
        return await self.run(["cat", "--", str(path)])

    async def write(self, path: Path, text: str) -> None:
        """Write a file of the namespace in one write(2)."""
        await self.run(["tee", "--", str(path)], stdin=text)


def holds_open(pid: int, suffix: str, proc: Path = Path("/proc")) -> bool:
    """Whether the process has a file open whose name ends with `suffix`; follows no link, so nothing is touched."""
    directory = proc / str(pid) / "fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                if os.readlink(directory / name).rstrip("]").endswith(suffix):
                    return True
    return False
