"""An old handle held by an NFS client, while its inode number comes back to another file on the server.

Usage: reused.py CLIENT OTHER SOURCE: a directory of a share as one client and as another have it mounted, both without
caching attributes, and the same directory on the server. Prints how often the number came back. Any error, or an
answer about the new file to a question about the old one, ends it with a traceback.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
import time
from pathlib import Path

_PATIENCE = 300.0  # seconds
_FILES_EACH = 300
_NEIGHBOURS = 64  # as many inodes as xfs has in a chunk


def impostor(source: Path, inode: int) -> str:
    """Make files on the server until one has the inode number; return its name, empty if none ever has."""
    deadline = time.monotonic() + _PATIENCE
    for round_ in itertools.count():
        made = []
        for number in range(_FILES_EACH):
            path = source / f"impostor-{round_}-{number}"
            path.write_text("impostor")
            if path.stat().st_ino == inode:
                return path.name
            made.append(path)
        for path in made:
            path.unlink()
        if _never_again(source):
            return ""
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)  # xfs frees inodes in the background, and a worker may have it open for some seconds
    raise AssertionError(f"inode {inode} did not come back")


def _never_again(source: Path) -> bool:
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return any(line[1] in map(str, source.parents) and line[2] == "btrfs" for line in lines)


def check(victim: str, client: Path, remover: Path, source: Path) -> bool:
    """Have the file removed by way of `remover`; return whether its number came back.

    It is made on the server: a client that made it might hold a delegation, and not ask the server for a long time.
    It is made between others: xfs gives up a chunk of inodes of which none is in use, and its numbers with it.
    """
    _make_neighbours(source / f"{victim}-before")
    (source / victim).write_text("the original file")
    _make_neighbours(source / f"{victim}-after")
    size, inode = (client / victim).stat().st_size, (source / victim).stat().st_ino
    held = os.open(client / victim, os.O_PATH)
    (remover / victim).unlink()
    name = impostor(source, inode)
    deadline = time.monotonic() + 60
    while (answer := ask(held)) != "ESTALE":
        assert answer == str(size), f"the old handle shows another file: {answer}"
        assert time.monotonic() < deadline, "the old handle goes on"
        time.sleep(0.2)
    if name:
        assert (client / name).read_text() == "impostor"
        (client / name).unlink()
    assert ask(held) == "ESTALE"
    os.close(held)
    return bool(name)


def _make_neighbours(path: Path) -> None:
    for number in range(_NEIGHBOURS):
        path.with_name(f"{path.name}-{number}").touch()


def ask(held: int) -> str:
    """Return the size of the file that the client's handle names, or the name of the error."""
    try:
        return str(os.fstat(held).st_size)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def main() -> None:
    """The file is removed by another client, then by a program on the server."""
    client, other, source = map(Path, sys.argv[1:4])
    reused = [check("one", client, other, source), check("two", client, source, source)]
    print(f"{sum(reused)} times reused", flush=True)


if __name__ == "__main__":
    main()
