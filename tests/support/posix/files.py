"""The few verbs that every check needs, on names relative to the check's own directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.posix.journal import Name


def make(name: Name, content: bytes = b"", mode: int = 0o644) -> None:
    """Make a file, whatever the umask."""
    with opened(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as file:
        os.write(file, content)
    os.chmod(name, mode)


def content(name: Name) -> bytes:
    """Return what a file holds."""
    with open(name, "rb") as file:
        return file.read()


@contextmanager
def opened(name: Name, flags: int, mode: int = 0o644) -> Iterator[int]:
    """Open a file for the length of the context."""
    descriptor = os.open(name, flags, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def touch(name: Name, flags: int, mode: int = 0o644) -> None:
    """Open a file with these flags and close it."""
    os.close(os.open(name, flags, mode))
