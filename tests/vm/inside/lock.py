"""What a client holds and wants to hold on to: a byte-range lock, and files that it may read without asking.

Usage: lock.py hold FILE: locks the first 100 bytes of FILE, opens FILE.read1 and so on, for which the server may give
delegations, until /run/lock.enough is there, and prints "locked". When /run/lock.stop is there it reads them anew
through the same descriptors, writes to FILE, which fails if the lock was lost, and lets go.
lock.py try FILE prints "refused" or "free": whether somebody else could lock these bytes now.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

_ENOUGH, _STOP = Path("/run/lock.enough"), Path("/run/lock.stop")
_NEXT_SECONDS = 5.0  # until the next file is opened
_BYTES = 100


def _hold(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, _BYTES)
    reading = _open_until_enough(sorted(path.parent.glob(f"{path.name}.read*")))
    print("locked", flush=True)
    while not _STOP.exists():
        time.sleep(0.1)
    for each, contents in reading.items():
        os.posix_fadvise(each, 0, 0, os.POSIX_FADV_DONTNEED)  # so that the server is asked
        assert os.pread(each, _BYTES, 0) == contents, "a file is not as it was when it was opened"
        os.close(each)
    assert os.pwrite(descriptor, b"still mine", 0) == 10
    os.fsync(descriptor)
    fcntl.lockf(descriptor, fcntl.LOCK_UN, _BYTES)
    os.close(descriptor)
    print("let go", flush=True)


def _open_until_enough(paths: list[Path]) -> dict[int, bytes]:
    """Return descriptors, and what was read through each."""
    opened = {}
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        opened[descriptor] = os.read(descriptor, _BYTES)
        assert opened[descriptor]
        end = time.monotonic() + _NEXT_SECONDS
        while time.monotonic() < end and not _ENOUGH.exists():
            time.sleep(0.1)
        if _ENOUGH.exists():
            break
    return opened


def _try(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _BYTES)
    except BlockingIOError:
        print("refused")
    else:
        print("free")


if __name__ == "__main__":
    {"hold": _hold, "try": _try}[sys.argv[1]](Path(sys.argv[2]))
