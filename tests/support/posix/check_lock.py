"""Locks between processes: flock, POSIX record locks, open file description locks."""

from __future__ import annotations

import fcntl
import os
import struct

from tests.support.children import in_child
from tests.support.posix.files import make, opened
from tests.support.posix.journal import Journal

_FLOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, pid


def _elsewhere(journal: Journal, label: str, operation: int, flags: int = os.O_RDWR) -> None:
    """Try an flock in another process, through a description of its own."""

    def attempt() -> list[tuple[str, object]]:
        theirs = Journal()
        with opened("file", flags) as file:
            theirs.attempt(label, fcntl.flock, file, operation | fcntl.LOCK_NB)
        return theirs.entries

    journal.entries += in_child(attempt)


def check_flock(journal: Journal) -> None:
    make("file")
    with opened("file", os.O_RDWR) as file:
        journal.attempt("exclusive", fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _elsewhere(journal, "exclusive, elsewhere", fcntl.LOCK_EX)
        _elsewhere(journal, "shared, elsewhere", fcntl.LOCK_SH)
        journal.attempt("to shared", fcntl.flock, file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        _elsewhere(journal, "shared beside shared", fcntl.LOCK_SH, os.O_RDONLY)
        _elsewhere(journal, "exclusive beside shared", fcntl.LOCK_EX)
        journal.attempt("unlock", fcntl.flock, file, fcntl.LOCK_UN)
        _elsewhere(journal, "exclusive, now free", fcntl.LOCK_EX)
        fcntl.flock(file, fcntl.LOCK_EX)
    _elsewhere(journal, "free after close", fcntl.LOCK_EX)


def _record(journal: Journal, label: str, kind: int, start: int, length: int) -> None:
    """Try a POSIX lock in another process."""

    def attempt() -> list[tuple[str, object]]:
        theirs = Journal()
        with opened("file", os.O_RDWR) as file:
            theirs.attempt(label, fcntl.lockf, file, kind | fcntl.LOCK_NB, length, start)
        return theirs.entries

    journal.entries += in_child(attempt)


def check_fcntl_locks(journal: Journal) -> None:
    make("file", b"x" * 100)
    with opened("file", os.O_RDWR) as file:
        journal.attempt("lock 10 to 20", fcntl.lockf, file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)
        journal.attempt("share 50 to 60", fcntl.lockf, file, fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 50)
        for start, length in ((0, 10), (0, 11), (15, 1), (19, 10), (20, 10), (0, 0)):
            _record(journal, f"exclusive {length} from {start}", fcntl.LOCK_EX, start, length)
        _record(journal, "shared over shared", fcntl.LOCK_SH, 50, 10)
        _record(journal, "exclusive over shared", fcntl.LOCK_EX, 55, 1)
        journal.attempt("unlock the middle", fcntl.lockf, file, fcntl.LOCK_UN, 2, 14)
        _record(journal, "exclusive in the gap", fcntl.LOCK_EX, 14, 2)
        _record(journal, "beside the gap", fcntl.LOCK_EX, 16, 1)


def check_fcntl_getlk(journal: Journal) -> None:
    make("file", b"x" * 100)
    with opened("file", os.O_RDWR) as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 30)
        holder = os.getpid()

        def ask() -> tuple[int, int, int, bool]:
            with opened("file", os.O_RDWR) as mine:
                asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, start, length, pid = _FLOCK.unpack(fcntl.fcntl(mine, fcntl.F_GETLK, asked))
            return kind, start, length, pid == holder

        journal.value("who holds it", in_child, ask)


def check_fcntl_open_file_description_locks(journal: Journal) -> None:
    make("file", b"x" * 100)
    lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with opened("file", os.O_RDWR) as first, opened("file", os.O_RDWR) as second:
        journal.attempt("lock", fcntl.fcntl, first, fcntl.F_OFD_SETLK, lock)
        journal.attempt("the other description", fcntl.fcntl, second, fcntl.F_OFD_SETLK, lock)
        journal.attempt("again", fcntl.fcntl, first, fcntl.F_OFD_SETLK, lock)
