"""The mount namespace of the NFS side.

Why there is one. When the last process of a mount namespace that holds the nfsd filesystem exits, the kernel unmounts
that filesystem inside the exiting process, which shuts knfsd down there: it closes the clients' NFSv4 files, which
sends FUSE requests and waits for their answers. If that process, or one that waits for it, held the last reference to
/dev/fuse, nobody would ever answer, because its descriptors are released only after: the container could not be
killed and the host would need a reboot. Hence two rules:

- no process in this namespace ever holds /dev/fuse (children get no descriptor but those they are given by name);
- no process that holds /dev/fuse ever has a descriptor into this namespace, not even for a moment: what has to be read
  or written in it is read and written by a program that is started in it.

The namespace lives as long as a process in it: the anchor, which ends when its standard input does, that is with the
supervisor at the latest.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import CommandError, KernelError
from appliance.logs import facts
from appliance.nfs.commands import ENVIRONMENT, run
from appliance.nfs.daemons import NFSD, PIPEFS

_LOG = facts(__name__)


class NfsNamespace:
    """A mount namespace that sees the shares come and go, with nfsd and rpc_pipefs mounted in it and nowhere else."""

    def __init__(self, timeout: float) -> None:
        """`timeout` bounds every command run in the namespace, in seconds."""
        self._timeout = timeout
        self._anchor: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Make the namespace and mount the two filesystems; raises CommandError or KernelError."""
        PIPEFS.mkdir(parents=True, exist_ok=True)
        # cat is the anchor: it gives back the line that it is sent, which shows that unshare(1) has done its work.
        self._anchor = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "--propagation", "slave", "--", "cat"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        await self._echo(self._anchor)
        try:
            await self.run(["mount", "-t", "nfsd", "nfsd", str(NFSD)])
        except CommandError as error:
            raise KernelError(error.message, "on the host: modprobe nfsd", code="no-nfsd") from error
        await self.run(["mount", "-t", "rpc_pipefs", "rpc_pipefs", str(PIPEFS)])
        _LOG.info("the NFS side has its mount namespace", anchor=self._anchor.pid)

    def enter(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` in the namespace."""
        if self._anchor is None or self._anchor.returncode is not None:
            raise CommandError("the NFS side has no mount namespace now")
        return ["nsenter", "--target", str(self._anchor.pid), "--mount", "--", *argv]

    async def run(self, argv: Sequence[str], *, stdin: str = "") -> str:
        """Run a program in the namespace and return its output; raises CommandError."""
        return await run(self.enter(argv), stdin=stdin, timeout=self._timeout)

    async def read(self, path: Path) -> str:
        """Read a file as it is in the namespace."""
        return await self.run(["cat", "--", str(path)])

    async def write(self, path: Path, text: str) -> None:
        """Write a file of the namespace in one write(2)."""
        await self.run(["tee", "--", str(path)], stdin=text)

    async def ended(self) -> None:
        """Wait until the anchor has ended; with it goes nfsd, unless a daemon still holds the namespace."""
        if self._anchor is not None:
            await self._anchor.wait()

    async def stop(self) -> None:
        """End the anchor. The daemons in the namespace are stopped before, by whoever started them."""
        anchor, self._anchor = self._anchor, None
        if anchor is None:
            return
        assert anchor.stdin is not None  # noqa: S101 - it was made with a pipe
        anchor.stdin.close()
        try:
            await asyncio.wait_for(anchor.wait(), self._timeout)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                anchor.kill()

    async def _echo(self, anchor: asyncio.subprocess.Process) -> None:
        assert anchor.stdin is not None and anchor.stdout is not None  # noqa: S101, PT018 - made with pipes
        anchor.stdin.write(b"\n")
        try:
            echoed = await asyncio.wait_for(anchor.stdout.readline(), self._timeout)
        except TimeoutError as error:
            raise CommandError("unshare gave no answer", "is unshare(1) of util-linux installed?") from error
        if not echoed:
            raise CommandError(
                "no mount namespace could be made for the NFS side",
                "CAP_SYS_ADMIN is needed: run with --privileged",
            )


def holds_open(pid: int, suffix: str, proc: Path = Path("/proc")) -> bool:
    """Whether the process has a file open whose name ends with `suffix`; follows no link, so nothing is touched."""
    directory = proc / str(pid) / "fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                if os.readlink(directory / name).rstrip("]").endswith(suffix):
                    return True
    return False
