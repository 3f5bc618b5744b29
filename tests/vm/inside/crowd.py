"""Dozens of clients' programs at once: each writes a file through to storage, renames it over another, and reads that.

Usage: crowd.py DIRECTORY PROGRAMS STOP. Ends when the file STOP is there; prints "N rounds of M programs", or ends with
a traceback and status 1 at any error and any content that is not as it was written.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path


def _work(top: Path, stop: Path) -> int:
    top.mkdir()
    rounds = 0
    while not (rounds and stop.exists()):  # once at least
        data = b"%d of %s\n" % (rounds, bytes(top)) * 50
        with open(top / "new", "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(top / "new", top / "current")
        assert (top / "current").read_bytes() == data, f"{top} is not as it was written"
        rounds += 1
    os.unlink(top / "current")
    top.rmdir()
    return rounds


def _program(top: Path, stop: Path, done: int) -> None:
    try:
        os.write(done, b"%d\n" % _work(top, stop))
    except (OSError, AssertionError):
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> int:
    """Fork the programs, wait for all, and count."""
    top, programs, stop = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    top.mkdir()
    readable, writable = os.pipe()
    for number in range(programs):
        if os.fork() == 0:
            _program(top / str(number), stop, writable)
    os.close(writable)
    with open(readable) as results:
        rounds = [int(line) for line in results]
    failed = sum(os.waitstatus_to_exitcode(os.wait()[1]) != 0 for _ in range(programs))
    print(f"{sum(rounds)} rounds of {len(rounds)} programs", flush=True)
    if not failed:
        top.rmdir()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
