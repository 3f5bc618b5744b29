"""What is read from and written to the files of nfsd, in a directory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from appliance.nfs.knfsd import Knfsd
from appliance.nfs.nfsd_files import NfsdFiles, holds_open


class DirectoryFiles:
    """Files in a directory that plays the nfsd filesystem."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def read(self, name: str) -> str:
        """Return the text of a file."""
        return (self._root / name).read_text()

    async def read_each(self, directory: str, name: str) -> str:
        """Return the texts of the files of this name in the directories of a directory, one after the other."""
        return "".join(path.read_text() for path in sorted((self._root / directory).glob(f"*/{name}")))

    async def read_tree(self, directory: str, names: Sequence[str]) -> dict[str, str]:
        """Return the texts of all files of these names below a directory, by their paths below it."""
        return await NfsdFiles(self._root, 10).read_tree(directory, names)

    async def write(self, name: str, text: str, within: Sequence[str] = ()) -> None:
        """Write a file at once, and what it is written within to a file beside it."""
        (self._root / name).write_text(text)
        (self._root / f"{name}.within").write_text(" ".join(within))


def test_threads(tmp_path: Path) -> None:
    (tmp_path / "threads").write_text("8\n")
    assert asyncio.run(Knfsd(DirectoryFiles(tmp_path), ("within", "scope")).threads()) == 8


def test_a_server_is_stopped(tmp_path: Path) -> None:
    asyncio.run(Knfsd(DirectoryFiles(tmp_path), ("within", "scope")).stop())
    assert (tmp_path / "threads").read_text() == "0\n"
    assert (tmp_path / "threads.within").read_text() == "within scope"


def test_a_filesystem_is_released_by_its_quoted_path(tmp_path: Path) -> None:
    control = tmp_path / "unlock_filesystem"
    asyncio.run(Knfsd(DirectoryFiles(tmp_path), ("within", "scope")).release_filesystem(Path("/exports/a b")))
    assert control.read_text() == "/exports/a\\040b\n"  # the kernel refuses a write without a newline


def test_what_a_process_has_open_is_seen_without_opening_it(tmp_path: Path) -> None:
    descriptors = tmp_path / "7" / "fd"
    descriptors.mkdir(parents=True)
    os.symlink("/proc/7/net/rpc/nfsd.fh/channel", descriptors / "3")
    os.symlink("anon_inode:[eventpoll]", descriptors / "4")
    assert holds_open(7, "/nfsd.fh/channel", proc=tmp_path)
    assert holds_open(7, "eventpoll", proc=tmp_path)
    assert not holds_open(7, "inotify", proc=tmp_path)
    assert not holds_open(8, "inotify", proc=tmp_path)
