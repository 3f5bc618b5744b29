"""A client at work: changes names and contents below a directory for some seconds, and knows what must be there.

Usage: storm.py DIRECTORY SECONDS. Ends before that when the directory's name with .stop after it appears in /run.
Prints "at work" after its first operation and "N operations" at the end; any error of the file system, or anything that
is not as it was left, ends it with a traceback. Runs in the virtual machine, with nothing but Python's own library.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from pathlib import Path

_MOST_FILES = 40


class Storm:
    """What is below a directory, and the operations that change it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.dice = random.Random(str(top))
        self.files: dict[str, bytes] = {}
        self.operations = 0
        self.serial = 0

    def name(self) -> str:
        """Return a name that was never used before."""
        self.serial += 1
        return f"{self.dice.choice(('left', 'right'))}/{self.serial}"

    def step(self) -> None:
        """Do one thing."""
        if len(self.files) < 5:
            return self.create()
        if len(self.files) > _MOST_FILES:
            return self.unlink()
        choices = (self.create, self.rename, self.replace, self.unlink, self.link, self.append, self.read, self.list)
        return self.dice.choice(choices)()

    def any(self) -> str:
        """Return the name of a file that is there."""
        return self.dice.choice(sorted(self.files))

    def create(self) -> None:
        """Make a file and a directory that is removed again."""
        name, data = self.name(), self.dice.randbytes(self.dice.randrange(20_000))
        with open(self.top / name, "xb") as file:
            file.write(data)
        self.files[name] = data
        os.mkdir(self.top / f"{name}.d")
        os.symlink("nowhere", self.top / f"{name}.d/link")
        assert os.readlink(self.top / f"{name}.d/link") == "nowhere"
        os.unlink(self.top / f"{name}.d/link")
        os.rmdir(self.top / f"{name}.d")

    def rename(self) -> None:
        """Give a file another name."""
        old, new = self.any(), self.name()
        os.rename(self.top / old, self.top / new)
        self.files[new] = self.files.pop(old)

    def replace(self) -> None:
        """Rename a file over another."""
        old, new = self.any(), self.any()
        if old != new:
            os.rename(self.top / old, self.top / new)
            self.files[new] = self.files.pop(old)

    def unlink(self) -> None:
        """Remove a file."""
        name = self.any()
        os.unlink(self.top / name)
        del self.files[name]

    def link(self) -> None:
        """Give a file a second name, and take its first."""
        old, new = self.any(), self.name()
        os.link(self.top / old, self.top / new)
        os.unlink(self.top / old)
        self.files[new] = self.files.pop(old)

    def append(self) -> None:
        """Write to the end of a file, through to storage."""
        name, data = self.any(), self.dice.randbytes(5000)
        with open(self.top / name, "ab") as file:
            file.write(data)
            os.fsync(file.fileno())
        self.files[name] += data

    def read(self) -> None:
        """Read a file."""
        name = self.any()
        assert (self.top / name).read_bytes() == self.files[name], f"{name} has other contents"

    def list(self) -> None:
        """List both directories."""
        seen = {f"{side}/{entry}" for side in ("left", "right") for entry in os.listdir(self.top / side)}
        assert seen == set(self.files), f"listed {sorted(seen ^ set(self.files))} wrongly"

    def check(self) -> None:
        """Compare everything."""
        self.list()
        for name, data in self.files.items():
            assert (self.top / name).read_bytes() == data, f"{name} has other contents"


def main() -> None:
    """Rage, forget what the client has cached, and look again."""
    top, seconds = Path(sys.argv[1]), float(sys.argv[2])
    for side in ("left", "right"):
        (top / side).mkdir(parents=True)
    storm = Storm(top)
    stop = Path("/run") / f"{top.name}.stop"
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop.exists():
        storm.step()
        storm.operations += 1
        if storm.operations == 1:
            print("at work", flush=True)
    Path("/proc/sys/vm/drop_caches").write_text("3")
    storm.check()
    shutil.rmtree(top)
    print(f"{storm.operations} operations", flush=True)


if __name__ == "__main__":
    main()
