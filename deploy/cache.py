"""A cache of built things, each in a directory named after what it was built from.

Two runs at once are safe: one builds under a lock while the other waits. A build that dies leaves nothing that looks
finished, since the directory gets its name only when it is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.console import say

KEPT_PER_KIND = 3


def digest(parts: Iterable[str | bytes]) -> str:
    """Return the key of these parts; ("ab", "c") and ("a", "bc") have different keys."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:16]


def digest_tree(root: Path, paths: Iterable[str]) -> str:
    """Return the key of files and directories below root: names, executable bits and contents, not times."""
    parts: list[str | bytes] = []
    for path in paths:
        top = root / path
        for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if file.is_file() and "__pycache__" not in file.parts:
                parts += [str(file.relative_to(root)), str(file.stat().st_mode & 0o111 != 0), file.read_bytes()]
    return digest(parts)


class Cache:
    """Built directories under one root; each kind keeps only its most recently used few."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, kind: str, key: str) -> bool:
        """Tell whether this was built already."""
        return self._home(kind, key).exists()

    def get(self, kind: str, key: str, build: Callable[[Path], None]) -> Path:
        """Return the directory of this kind and key, having it filled by `build` if it is not there yet."""
        home = self._home(kind, key)
        with self._lock(kind):
            if not home.exists():
                self._build(kind, home, build)
            os.utime(home)
            self._prune(kind)
        return home

    def _home(self, kind: str, key: str) -> Path:
        return self.root / f"{kind}-{key}"

    def _build(self, kind: str, home: Path, build: Callable[[Path], None]) -> None:
        for leftover in self.root.glob(f".{kind}-*"):  # we hold the lock, so whoever made these is dead
            shutil.rmtree(leftover)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=self.root))
        try:
            build(unfinished)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        unfinished.chmod(0o755)
        unfinished.rename(home)

    def _prune(self, kind: str) -> None:
        # A running machine that has a pruned file open keeps it until it ends, as always under Unix.
        entries = sorted(self.root.glob(f"{kind}-*/"), key=lambda path: path.stat().st_mtime, reverse=True)
        for entry in entries[KEPT_PER_KIND:]:
            shutil.rmtree(entry)

    @contextmanager
    def _lock(self, kind: str) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f"{kind}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"Waiting for another run that prepares the {kind} ...")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
