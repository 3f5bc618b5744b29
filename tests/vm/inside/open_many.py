"""A client that has thousands of files open: writes each, and reads all through what it opened when told to stop.

Usage: open_many.py DIRECTORY FILES STOP. Prints "at work" when all are open and on storage, and "N files" at the end;
any error, and contents that are not as they were written, end it with a traceback. Nothing is opened a second time.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

_PER_DIRECTORY = 1000
_OTHERS = 100  # descriptors that are no file of these


def _content(number: int) -> bytes:
    return b"%d of many\n" % number


def _open(top: Path, number: int) -> int:
    directory = top / str(number // _PER_DIRECTORY)
    if number % _PER_DIRECTORY == 0:
        directory.mkdir(parents=True)
    descriptor = os.open(directory / str(number), os.O_RDWR | os.O_CREAT)
    assert os.write(descriptor, _content(number)) == len(_content(number))
    return descriptor


def main() -> None:
    """Open, wait, read."""
    top, count, stop = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + _OTHERS, count + _OTHERS))
    descriptors = [_open(top, number) for number in range(count)]
    os.sync()
    print("at work", flush=True)
    while not stop.exists():
        time.sleep(0.1)
    for number, descriptor in enumerate(descriptors):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(descriptor, 100, 0) == _content(number), f"{number} is not as it was written"
        os.close(descriptor)
    print(f"{count} files", flush=True)


if __name__ == "__main__":
    main()
