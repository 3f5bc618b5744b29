"""What the kernel's NFS server tells and takes through /proc/fs/nfsd and /proc/net/rpc."""

from __future__ import annotations

from dataclasses import dataclass
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


class DirectoryFiles:
    """Files in a directory, captured from a running kernel."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def read(self, name: str) -> str:
        """Return the text of a file."""
        return (self._root / name).read_text()

    async def read_each(self, directory: str, name: str) -> str:
        """Return the texts of the files of this name in the directories of a directory, one after the other."""
        return "".join(path.read_text() for path in sorted((self._root / directory).glob(f"*/{name}")))

    async def write(self, name: str, text: str) -> None:
        """Write a file at once."""
        (self._root / name).write_text(text)


@dataclass(frozen=True)
class ThreadStatistics:
    """The kernel's counts since the server module was loaded, for this network namespace."""

    threads: int
    rpc_calls: int
    bytes_read: int
    bytes_written: int


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

    async def versions(self) -> dict[str, bool]:
        """Return which NFS versions are on, as in {"3": False, "4.2": True}."""
        return parse_versions(await self._files.read("versions"))

    async def states(self) -> str:
        """Return what all NFSv4 clients hold."""
        return await self._files.read_each("clients", "states")

    async def release_filesystem(self, path: Path) -> None:
        """Take all opens, locks and delegations on the filesystem at `path` from their NFS clients.

        Its clients are told that their state was revoked. Without this an unmount would fail with EBUSY for as long as
        a client has a file open.
        """
        await self._files.write("unlock_filesystem", f"{escape(str(path))}\n")


def parse_versions(text: str) -> dict[str, bool]:
    """Read a line such as `-3 +4 -4.0 +4.1 +4.2`."""
    return {word[1:]: word[0] == "+" for word in text.split() if word[0] in "+-"}


def parse_statistics(text: str) -> ThreadStatistics:
    """Read /proc/net/rpc/nfsd; a line that this kernel does not have counts as zero."""
    lines = {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}

    def number(name: str, index: int) -> int:
        values = lines.get(name, [])
        return int(values[index]) if index < len(values) else 0

    return ThreadStatistics(
        threads=number("th", 0),
        rpc_calls=number("rpc", 0),
        bytes_read=number("io", 0),
        bytes_written=number("io", 1),
    )
