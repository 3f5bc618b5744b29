"""What a client holds of a share whose key is changed: everything is ESTALE then, and is found anew by name.

Usage: outdated.py DIRECTORY COMMAND...: a directory of the share as a client has it mounted, and what changes the key.
Prints the errors; ends with a traceback if one of the handles goes on, or if the names are not found again.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def outcome(act: Callable[[], object]) -> str:
    """Return the name of the errno, "fine" if there is none."""
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "fine"


def final(act: Callable[[], object]) -> str:
    """Return the outcome that is not "fine": a client that has a delegation asks the server nothing for a while."""
    deadline = time.monotonic() + 60
    while (found := outcome(act)) == "fine" and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def write_through(descriptor: int) -> None:
    """Write, and wait until the server has it."""
    os.pwrite(descriptor, b"lost", 0)
    os.fsync(descriptor)


def main() -> None:
    """Hold a file open, another file and a directory by handle alone, change the key and look."""
    top = Path(sys.argv[1])
    (top / "directory").mkdir()
    for name in ("open", "known", "directory/inside"):
        (top / name).write_text(name)
    opened = os.open(top / "open", os.O_RDWR)
    known = os.open(top / "known", os.O_PATH)
    directory = os.open(top / "directory", os.O_RDONLY)
    subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
    answers = {
        "attributes of a file": final(lambda: os.fstat(known)),
        "attributes of a directory": final(lambda: os.fstat(directory)),
        "look-up in a directory": outcome(lambda: os.stat("new", dir_fd=directory)),
        "attributes of an open file": final(lambda: os.fstat(opened)),
    }
    print(answers, flush=True)
    assert set(answers.values()) == {"ESTALE"}, answers
    written = outcome(lambda: write_through(opened))
    print(f"writing to the open file: {written}", flush=True)
    assert written != "fine"
    deadline = time.monotonic() + 60
    while (found := outcome(lambda: (top / "open").read_text())) != "fine" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found == "fine", found
    for name in ("open", "known", "directory/inside"):
        assert (top / name).read_text() == name
    (top / "new").write_text("new")
    print("found anew", flush=True)


if __name__ == "__main__":
    main()
