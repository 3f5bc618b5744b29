"""What a local process changes behind a share, and when an NFS client sees it. Usage: behind.py SOURCE CLIENT ROUNDS.

CLIENT is the same directory as SOURCE over NFS, mounted so that the client itself believes nothing. Each time the
server is made to look anew first, so that from then on it believes what it has seen for a second; then SOURCE is
changed, and the client looks until it sees that. Prints "CHANGE SECONDS" each time, counted from the server's look.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PATIENCE_SECONDS = 300.0


def until(seen: Callable[[], bool]) -> float:
    """Return the time at which it was seen."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not seen():
        if time.monotonic() > deadline:
            raise TimeoutError("it is not seen")
    return time.monotonic()


def measured(change: str, act: Callable[[], object], look: Callable[[], object], seen: Callable[[], bool]) -> None:
    """Make one change and print how long it took to be seen. With `look` the server looks."""
    began = time.monotonic()
    look()
    assert not seen(), f"{change}: seen before it is done"
    act()
    print(f"{change} {until(seen) - began:.3f}", flush=True)


def one_round(there: Path, here: Path, number: int) -> None:
    """Make each kind of change once. What is opened has changed before: the server delegates it to the client."""
    (there / "file").write_text("old")
    until(lambda: (here / "file").exists())

    def listed() -> None:
        """Have the client list anew: what the server then tells of the directory it has to look at itself."""
        os.utime(here)
        os.listdir(here)

    def names() -> set[str]:
        return set(os.listdir(here))

    listed()
    measured("create", (there / "made").touch, here.stat, lambda: "made" in names())
    text = f"new in round {number}"
    file, made = here / "file", here / "made"
    measured(
        "write",
        lambda: (there / "file").write_text(text),
        lambda: os.utime(file),  # the answer tells the server all attributes
        lambda: file.stat().st_size == len(text),
    )
    assert file.read_text() == text
    measured(
        "chmod",
        lambda: (there / "made").chmod(0o600),
        lambda: os.utime(made),
        lambda: made.stat().st_mode & 0o777 == 0o600,
    )
    listed()
    measured("rename", lambda: (there / "made").rename(there / "moved"), here.stat, lambda: "moved" in names())
    assert not made.exists()
    listed()
    measured("delete", (there / "moved").unlink, here.stat, lambda: "moved" not in names())


def main() -> None:
    """Each round in a directory of its own."""
    source, client = Path(sys.argv[1]), Path(sys.argv[2])
    for number in range(int(sys.argv[3])):
        there, here = source / f"behind-{number}", client / f"behind-{number}"
        there.mkdir()
        until(here.is_dir)
        one_round(there, here, number)
        shutil.rmtree(there)


if __name__ == "__main__":
    main()
