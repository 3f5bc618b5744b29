"""What the kernel's NFS server tells and takes through the files of the nfsd filesystem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from appliance.nfs.clients import Info, State, parse_info, parse_states
from appliance.nfs.counters import CACHE_FILE, POOLS_FILE
from appliance.nfs.exports import escape


class Files(Protocol):
    """The files of the nfsd filesystem, by name."""

    async def read(self, name: str) -> str:
        """Return the text of a file."""
        ...

    async def read_each(self, directory: str, name: str) -> str:
        """Return the texts of the files of this name in the directories of a directory, one after the other."""
        ...

    async def read_tree(self, directory: str, names: Sequence[str]) -> dict[str, str]:
        """Return the texts of all files of these names below a directory, by their paths below it."""
        ...

    async def write(self, name: str, text: str, within: Sequence[str] = ()) -> None:
        """Write a file at once, `within` what this command makes for the one that it is put before."""
        ...


class Knfsd:
    """The kernel's NFS server of this network namespace."""

    def __init__(self, files: Files, within_scope: Sequence[str]) -> None:
        """`within_scope` stands before a command that changes the number of threads (appliance.nfs.scope)."""
        self._files = files
        self._within_scope = within_scope

    async def threads(self) -> int:
        """Return how many threads serve; 0 means that the server is down."""
        return int(await self._files.read("threads"))

    async def stop(self) -> None:
        """End all threads. Requests that are being carried out are finished, and clients keep what they may reclaim."""
        # The server is renamed with that, and goes on answering until its threads have ended.
        await self._files.write("threads", "0\n", self._within_scope)

    async def states(self) -> str:
        """Return what all NFSv4 clients hold."""
        return await self._files.read_each("clients", "states")

    async def clients(self) -> dict[int, tuple[Info, list[State]]]:
        """Return the NFSv4 clients and what they hold, by their numbers."""
        texts = await self._files.read_tree("clients", ("info", "states"))
        numbers = sorted(int(path.removesuffix("/info")) for path in texts if path.endswith("/info"))
        return {
            number: (parse_info(texts[f"{number}/info"]), parse_states(texts.get(f"{number}/states", "")))
            for number in numbers
        }

    async def counters(self) -> tuple[str, str]:
        """Return the counters of the pools of threads and of the reply cache, as text."""
        texts = await self._files.read_tree("", (POOLS_FILE, CACHE_FILE))
        return texts.get(POOLS_FILE, ""), texts.get(CACHE_FILE, "")

    async def expire(self, number: int) -> None:
        """End a client's session: what it holds is taken away. Returns when that is done."""
        await self._files.write(f"clients/{number}/ctl", "expire\n")

    async def release_filesystem(self, path: Path) -> None:
        """Take all opens, locks and delegations on the filesystem at `path` from their NFS clients.

        Its clients are told that their state was revoked. Without this an unmount would fail with EBUSY for as long as
        a client has a file open.
        """
        await self._files.write("unlock_filesystem", f"{escape(str(path))}\n")
