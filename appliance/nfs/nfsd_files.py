"""The files of the nfsd filesystem, read and written without opening them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from appliance.nfs.commands import complete, failure, run


class NfsdFiles:
    """Reads and writes the files of nfsd by short commands.

    Whoever has one of these files open keeps nfsd mounted, and the supervisor has /dev/fuse open as well;
    appliance.supervisor.first tells why the two must not meet in one process.
    """

    def __init__(self, root: Path, timeout: float) -> None:
        """`root` is where nfsd is found; `timeout` bounds every command, in seconds."""
        self._root = root
        self._timeout = timeout

    async def read(self, name: str) -> str:
        """Return the text of a file; raises CommandError."""
        return await run(["cat", "--", str(self._root / name)], timeout=self._timeout)

    async def read_each(self, directory: str, name: str) -> str:
        """Return the texts of the files of this name in the directories of a directory; raises CommandError."""
        # A client may go while it is looked at: cat then complains, and find passes its status on.
        argv = ["find", str(self._root / directory), "-name", name, "-exec", "cat", "--", "{}", ";"]
        done = await complete(argv, timeout=self._timeout)
        if done.status != 0 and not done.output:
            raise failure(argv, done.complaint)
        return done.output

    async def read_tree(self, directory: str, names: Sequence[str]) -> dict[str, str]:
        """Return the texts of all files of these names below a directory, by their paths below it.

        Raises CommandError if nothing can be read; a file that is gone when its turn comes is left out.
        """
        root = str(self._root / directory)
        included = [f"--include={name}" for name in names]
        # Every line comes behind its file's path and a NUL, which no text of nfsd has.
        argv = ["grep", "--recursive", "--text", "--with-filename", "--null", *included, "-e", "", "--", root]
        done = await complete(argv, timeout=self._timeout)
        if done.status > 1 and not done.output:
            raise failure(argv, done.complaint)
        texts: dict[str, list[str]] = {}
        for line in done.output.split("\n"):
            path, separator, text = line.partition("\0")
            if separator:
                texts.setdefault(path.removeprefix(f"{root}/"), []).append(text)
        return {path: "\n".join(lines) + "\n" for path, lines in texts.items()}

    async def write(self, name: str, text: str, within: Sequence[str] = ()) -> None:
        """Write a file in one write(2), by a command behind `within`; raises CommandError."""
        await run([*within, "tee", "--", str(self._root / name)], stdin=text, timeout=self._timeout)


def holds_open(pid: int, suffix: str, proc: Path = Path("/proc")) -> bool:
    """Whether the process has a file open whose name ends with `suffix`; follows no link, so nothing is touched."""
    directory = proc / str(pid) / "fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                if os.readlink(directory / name).rstrip("]").endswith(suffix):
                    return True
    return False
