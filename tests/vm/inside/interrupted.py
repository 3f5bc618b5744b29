"""A program on a client whose server is cut off in the middle of what it does, and that knows what must be there after.

It writes down what it does in /run/power/NAME.json, and looks at everything that it was told is done whenever the file
/run/power/round says another number than before. What it was told it keeps in its own memory: the client stays up. The
longest that it waited for one answer between two looks is a pause.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

PLACE = Path("/run/power")
# A boot and the grace time take longer.
_AWAY_SECONDS = 8.0


class Program:
    """What is common to all of them: turn after turn, and the account of it."""

    def __init__(self, name: str, top: Path) -> None:
        self.name = name
        self.top = top
        self.operations = 0
        self.verified = 0
        self.bytes = 0
        self.doing = "nothing"
        self.longest = 0.0
        self.pauses: list[float] = []
        self.answers_lost: list[str] = []

    def turn(self) -> None:
        """Do the next thing."""
        raise NotImplementedError

    def verify(self) -> None:
        """Look at everything that was answered; what a look finds wrong is an AssertionError."""
        raise NotImplementedError

    def do(self, what: str, operation: Callable[[], object]) -> None:
        """Do one thing, and tell before it what is done and after it that it was answered."""
        self.doing = what
        self._tell()
        began = time.monotonic()
        operation()
        self.longest = max(self.longest, time.monotonic() - began)
        self.operations += 1

    def do_once(self, what: str, operation: Callable[[], object], done: Callable[[], bool]) -> None:
        """Do one thing that cannot be done twice.

        A client asks again what was not answered. knfsd knows its last answers by their sessions (RFC 8881, 2.10.6),
        but in memory: it does not offer sessions that persist. So what was carried out and is on the disk, and whose
        answer the cut prevented, is then answered "exists" or "does not exist". That is counted apart from errors, and
        only if the server was away in the middle of it and all is as if it had been answered.
        """
        def attempt() -> None:
            began = time.monotonic()
            try:
                operation()
            except (FileExistsError, FileNotFoundError) as error:
                if time.monotonic() - began < _AWAY_SECONDS or not done():
                    raise
                self.answers_lost.append(f"{what}: {error.strerror}")

        self.do(what, attempt)

    def create(self, path: Path) -> None:
        """Make a file, which must not be there."""
        self.do_once(
            "create",
            lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)),
            lambda: path.stat().st_size == 0,
        )

    def run(self) -> None:
        """Go on until /run/power/stop is there, and look at everything a last time."""
        while not (PLACE / "stop").exists():
            now = int((PLACE / "round").read_text() or self.verified)
            if now != self.verified:
                if self.verified:  # the first look is before the first cut
                    self.pauses.append(self.longest)
                self.do("look", self.verify)
                self.longest, self.verified = 0.0, now
                self._tell()
            self.turn()
        self.verify()
        self.doing = "ended"
        self._tell()

    def _tell(self) -> None:
        new = PLACE / f"{self.name}.new"
        new.write_text(json.dumps({key: value for key, value in vars(self).items() if key in _TOLD}))
        os.rename(new, PLACE / f"{self.name}.json")


_TOLD = ("operations", "verified", "bytes", "doing", "pauses", "answers_lost")


def reread(path: Path) -> bytes:
    """Return what the server has of a file: nothing from this client's cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


def run_all(programs: list[Program]) -> None:
    """Run each in a process of its own and return at once; what ends one is in /run/power/NAME.failed."""
    for program in programs:
        if os.fork() != 0:
            continue
        os.setsid()
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        with open(PLACE / f"{program.name}.out", "w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        (PLACE / f"{program.name}.pid").write_text(str(os.getpid()))
        try:
            program.run()
        except Exception:  # noqa: BLE001 - whatever it was, it is told
            (PLACE / f"{program.name}.failed").write_text(f"{program.doing}\n{traceback.format_exc()}")
            sys.exit(1)
        sys.exit(0)
