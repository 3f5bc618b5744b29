"""The longest names, the longest path and a file beyond 4 TiB, through a mount and beside it.

Usage: long.py DIRECTORY BEHIND, where the directory that is made is found on the mount and in the source. Prints what
each was seen to be.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PATH_MAX = 4096  # with the NUL at its end
_DIRECTORY, _DEPTH = "d" * 200, 20
_FAR = 5 << 40


def main() -> None:
    """Make, look from both sides, take away."""
    here, behind = map(Path, sys.argv[1:])
    here.mkdir()
    name = "\N{LATIN SMALL LETTER O WITH DIAERESIS}" * 127 + "x"  # of two bytes each
    (here / name).write_text("long")
    assert os.listdir(behind) == [name]
    assert (behind / name).read_text() == "long"
    print("name", len(os.fsencode(name)))
    (here / name).unlink()

    os.chdir(here)
    for _ in range(_DEPTH):
        os.mkdir(_DIRECTORY)
        os.chdir(_DIRECTORY)
    directories = f"{_DIRECTORY}/" * _DEPTH
    path = directories + "f" * (_PATH_MAX - 1 - len(directories))
    Path(path.removeprefix(directories)).write_text("deep")
    for top in (here, behind):
        os.chdir(top)
        assert Path(path).read_text() == "deep"
    print("path", len(path))

    with open(here / "sparse", "wb") as file:
        os.pwrite(file.fileno(), b"there", _FAR)
        os.fsync(file.fileno())
    with open(here / "sparse", "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(file.fileno(), 9, _FAR) == b"there"
        assert os.pread(file.fileno(), 9, 4 << 40) == bytes(9)
    print("size", (behind / "sparse").stat().st_size)
    os.unlink(here / "sparse")


if __name__ == "__main__":
    main()
