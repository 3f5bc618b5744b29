"""What a client holds and wants to hold on to: a byte-range lock, and a file that it may read without asking.

Usage: lock.py hold FILE: opens FILE.read, for which the server gives a delegation, locks the first 100 bytes of FILE,
prints "locked", and when /run/lock.stop is there writes to FILE, which fails if the lock was lost, and lets go.
lock.py try FILE prints "refused" or "free": whether somebody else could lock these bytes now.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

_STOP = Path("/run/lock.stop")
_BYTES = 100


def _hold(path: Path) -> None:
    reading = os.open(f"{path}.read", os.O_RDONLY)
    assert os.read(reading, 100)
    descriptor = os.open(path, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, _BYTES)
    print("locked", flush=True)
    while not _STOP.exists():
        time.sleep(0.1)
    assert os.pwrite(descriptor, b"still mine", 0) == 10
    os.fsync(descriptor)
    fcntl.lockf(descriptor, fcntl.LOCK_UN, _BYTES)
    os.close(descriptor)
    os.close(reading)
    print("let go", flush=True)


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
