"""A daemon's log as a test sees it: it is silent unless something is wrong, so every line must have been announced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WatchedLog:
    """A log file that grows, read from where it ended when watching began, and then from the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = path.stat().st_size
        self._announced: list[re.Pattern[str]] = []

    def announce(self, *patterns: str) -> None:
        """Accept lines that match one of `patterns` from now on: what is logged may come after its cause is over."""
        self._announced += map(re.compile, patterns)

    @contextmanager
    def announced(self, *patterns: str) -> Iterator[None]:
        """Accept lines that match one of `patterns`, until the context ends."""
        added = [re.compile(pattern) for pattern in patterns]
        self._announced += added
        try:
            yield
            self.check()
        finally:
            for pattern in added:
                self._announced.remove(pattern)

    def new_lines(self) -> list[str]:
        """Return what was written since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        return data.decode(errors="backslashreplace").splitlines()

    def check(self) -> None:
        """Raise AssertionError with the new lines that nobody announced, if there are any."""
        suspicious = unannounced(self.new_lines(), self._announced)
        assert not suspicious, f"the daemon logged, in {self.path}:\n" + "\n".join(suspicious)

    def tail(self, lines: int = 40) -> str:
        """Return the end of the whole log."""
        return "\n".join(self.path.read_text(errors="backslashreplace").splitlines()[-lines:])


def unannounced(lines: list[str], announced: list[re.Pattern[str]]) -> list[str]:
    """Return the lines that match no pattern of `announced`."""
    return [line for line in lines if line.strip() and not any(pattern.search(line) for pattern in announced)]
