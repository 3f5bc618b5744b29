"""A client that holds a file open: appends a line to it every tenth of a second until told to stop.

Usage: hold.py FILE. Ends when FILE's name with .stop after it appears in /run. Prints "at work" after its first line
and "N lines" at the end; any error ends it with a traceback. The file is never opened a second time. Whenever a line
took longer than a second, which is a time without service, it prints "paused S s".
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Write, and read what was written through the same descriptor."""
    path = Path(sys.argv[1])
    stop = Path("/run") / f"{path.name}.stop"
    stop.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    lines = 0
    while not stop.exists():
        lines += 1
        began = time.monotonic()
        os.pwrite(descriptor, b"%07d\n" % lines, (lines - 1) * 8)
        os.fsync(descriptor)
        if (paused := time.monotonic() - began) > 1:
            print(f"paused {paused:.1f} s", flush=True)
        if lines == 1:
            print("at work", flush=True)
        time.sleep(0.1)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    expected = b"".join(b"%07d\n" % number for number in range(1, lines + 1))
    assert os.pread(descriptor, len(expected) + 1, 0) == expected, "the file does not hold what was written"
    os.close(descriptor)
    print(f"{lines} lines", flush=True)


if __name__ == "__main__":
    main()
