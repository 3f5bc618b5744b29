"""A client that writes until there is no room, removes something, and writes on. Usage: fill.py DIRECTORY.

Prints what it was told when there was none, and how long after the removal a file that was open all the time could be
written. All is written through to the server at once, so that it is the server who says so. Any other error ends it.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

_BLOCK = os.urandom(1 << 20)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PATIENCE_SECONDS = 120.0


def _write(descriptor: int) -> int:
    """Write a block to the end; return 0, or the errno if there is no room for it."""
    end = os.fstat(descriptor).st_size
    try:
        os.pwrite(descriptor, _BLOCK, end)
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        os.ftruncate(descriptor, end)  # what was not taken is still in this client's cache
        return error.errno
    return 0


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)


def main() -> None:
    """Fill, remove, write on."""
    top = Path(sys.argv[1])
    held, filler = _open(top / "held"), _open(top / "filler")
    assert _write(held) == 0, "there is no room to begin with"
    blocks = 0
    while not (number := _write(filler)):
        blocks += 1
    assert blocks >= 10, f"only {blocks} blocks were taken"
    print(f"filled: {os.strerror(number)}")
    while not (number := _write(held)):
        pass
    print(f"told the file that was open: {os.strerror(number)}")
    size = os.fstat(held).st_size
    os.close(filler)
    (top / "filler").unlink()
    began, refusals = time.monotonic(), 0
    while number := _write(held):
        refusals += 1
        assert time.monotonic() - began < _PATIENCE_SECONDS, f"still {os.strerror(number)}"
    print(f"there is room after {time.monotonic() - began:.2f} s, {refusals} refusals")
    assert os.fstat(held).st_size == size + len(_BLOCK)
    assert os.pread(held, len(_BLOCK), size) == _BLOCK
    os.close(held)
    (top / "held").unlink()


if __name__ == "__main__":
    main()
