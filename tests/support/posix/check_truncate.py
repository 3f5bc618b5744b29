"""truncate and ftruncate."""

from __future__ import annotations

import os

from tests.support.children import acting_as
from tests.support.posix.files import content, make, opened
from tests.support.posix.journal import Journal


def check_truncate(journal: Journal) -> None:
    make("file", b"0123456789")
    journal.attempt("shorter", os.truncate, "file", 4)
    journal.value("content", content, "file")
    journal.attempt("longer", os.truncate, "file", 8)
    journal.value("zeros, not what was there", content, "file")
    journal.attempt("empty", os.truncate, "file", 0)
    journal.attempt("sparse", os.truncate, "file", 1_000_000)
    journal.note("blocks", os.stat("file").st_blocks)


def check_truncate_of_an_open_file(journal: Journal) -> None:
    make("file", b"0123456789")
    with opened("file", os.O_RDWR) as file:
        journal.attempt("ftruncate", os.ftruncate, file, 4)
        journal.stat("fstat", file)
        journal.value("read", os.pread, file, 100, 0)
        journal.attempt("by name", os.truncate, "file", 2)
        journal.value("read again", os.pread, file, 100, 0)
        journal.attempt("longer", os.ftruncate, file, 6)
        journal.value("write behind", os.pwrite, file, b"x", 8)
    journal.value("content", content, "file")


def check_truncate_errors(journal: Journal) -> None:
    make("file", b"0123456789")
    os.mkfifo("fifo")
    journal.attempt("a directory", os.truncate, ".", 0)
    journal.attempt("missing", os.truncate, "missing", 0)
    journal.attempt("negative", os.truncate, "file", -1)
    journal.attempt("a fifo", os.truncate, "fifo", 0)
    with opened("file", os.O_RDONLY) as file:
        journal.attempt("read-only descriptor", os.ftruncate, file, 0)


def check_truncate_by_a_user(journal: Journal) -> None:
    make("file", b"0123456789", 0o644)
    os.chmod(".", 0o777)
    with acting_as(1001, 1002):
        journal.attempt("by name", os.truncate, "file", 0)
        # The right to write was checked at open: the mode may say otherwise by now.
        with opened("own", os.O_RDWR | os.O_CREAT, 0o600) as file:
            os.write(file, b"0123456789")
            os.chmod("own", 0o400)
            journal.attempt("by descriptor", os.ftruncate, file, 5)
            journal.attempt("by name, no longer writable", os.truncate, "own", 1)


def check_truncate_moves_the_times(journal: Journal) -> None:
    make("file", b"0123456789")
    os.utime("file", (1, 1))
    before = os.stat("file")
    os.truncate("file", 10)
    after = os.stat("file")
    journal.note("mtime, same size", after.st_mtime_ns > before.st_mtime_ns)
    journal.note("ctime", after.st_ctime_ns > before.st_ctime_ns)
    journal.note("atime", after.st_atime_ns == before.st_atime_ns)
