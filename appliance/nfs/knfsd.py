"""What the kernel's NFS server tells and takes through the files of the nfsd filesystem."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from appliance.nfs.exports import escape


class Files(Protocol):
    """The files of the nfsd filesystem, by name."""

    async def read(self, name: str) -> str:
        """Return the text of a file."""
        ...

    async def read_each(self, directory: str, name: str) -> str:
        """Return the texts of the files of this name in the directories of a directory, one after the other."""
        ...

    async def write(self, name: str, text: str) -> None:
        """Write a file at once."""
        ...


class Knfsd:
    """The kernel's NFS server of this network namespace."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def threads(self) -> int:
        """Return how many threads serve; 0 means that the server is down."""
        return int(await self._files.read("threads"))

    async def stop(self) -> None:
        """End all threads. Requests that are being carried out are finished, and clients keep what they may reclaim."""
        await self._files.write("threads", "0\n")

    async def states(self) -> str:
        """Return what all NFSv4 clients hold."""
        return await self._files.read_each("clients", "states")

    async def release_filesystem(self, path: Path) -> None:
        """Take all opens, locks and delegations on the filesystem at `path` from their NFS clients.

        Its clients are told that their state was revoked. Without this an unmount would fail with EBUSY for as long as
        a client has a file open.
        """
        await self._files.write("unlock_filesystem", f"{escape(str(path))}\n")
