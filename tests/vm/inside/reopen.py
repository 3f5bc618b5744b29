"""A client that opens a file anew all the time, which another program holds open. Usage: reopen.py FILE LINE.

Each time its first line must be LINE. Ends when reopen.stop appears in /run. Prints "at work" after the first time and
"N opens" at the end; any error ends it with a traceback.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_STOP = Path("/run/reopen.stop")


def main() -> None:
    """Open for reading, which the holder, who opened it for both, does not: so the server has to open it, too."""
    path, line = sys.argv[1], sys.argv[2].encode()
    opens = 0
    while not _STOP.exists():
        descriptor = os.open(path, os.O_RDONLY)
        found = os.pread(descriptor, len(line), 0)
        os.close(descriptor)
        assert found == line, f"the file begins with {found!r}"
        opens += 1
        if opens == 1:
            print("at work", flush=True)
        time.sleep(0.05)
    print(f"{opens} opens", flush=True)


if __name__ == "__main__":
    main()
