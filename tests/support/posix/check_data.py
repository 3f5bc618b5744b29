"""read and write: offsets, holes, limits, large files, and copying inside the kernel."""

from __future__ import annotations

import hashlib
import mmap
import os
import random

from tests.support.posix.files import content, make, opened
from tests.support.posix.journal import Journal

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL


def check_read_past_the_end(journal: Journal) -> None:
    make("file", b"0123456789")
    with opened("file", os.O_RDONLY) as file:
        journal.value("across", os.pread, file, 100, 5)
        journal.value("at", os.pread, file, 100, 10)
        journal.value("beyond", os.pread, file, 100, 1 << 40)
        journal.value("nothing", os.pread, file, 0, 0)
        journal.attempt("written", os.write, file, b"x")
    with opened("file", os.O_WRONLY) as file:
        journal.attempt("read", os.read, file, 1)


def check_read_pages(journal: Journal) -> None:
    make("file", random.Random(1).randbytes(20_000))
    with opened("file", os.O_RDONLY) as file:
        for offset, size in ((0, 4096), (1, 4096), (4095, 2), (4096, 8192), (12_345, 54_321)):
            journal.value(f"{size} at {offset}", os.pread, file, size, offset)
        journal.value("sequentially", lambda: [os.read(file, 999) for _ in range(25)])


def check_write(journal: Journal) -> None:
    with opened("file", _NEW) as file:
        journal.value("first", os.write, file, b"0123456789")
        journal.value("overwrites", os.pwrite, file, b"xx", 4)
        journal.value("goes on", os.write, file, b"!")
        journal.value("nothing", os.write, file, b"")
        journal.value("vector", os.writev, file, [b"a" * 5000, b"b", b"c" * 3000])
        journal.stat("fstat", file)
        journal.value("seek", os.lseek, file, -1, os.SEEK_END)
    journal.value("content", content, "file")


def check_write_past_the_end(journal: Journal) -> None:
    with opened("file", _NEW) as file:
        journal.value("first", os.pwrite, file, b"island", 1_000_000)
        journal.value("before it", os.pread, file, 10, 999_997)
        journal.value("zeros", os.pread, file, 4096, 500_000)
        journal.value("gibibytes away", os.pwrite, file, b"far", 5 << 30)
        journal.stat("size", file)
        os.fsync(file)
        journal.note("mostly holes", os.fstat(file).st_blocks < 100)
    os.truncate("file", 1_000_006)  # the final tree is read whole


def check_write_past_the_largest_offset(journal: Journal) -> None:
    with opened("file", _NEW) as file:
        journal.attempt("16 TiB", os.pwrite, file, b"x", 1 << 44)
        journal.attempt("the last byte of all", os.pwrite, file, b"x", (1 << 63) - 2)
        journal.attempt("truncate", os.ftruncate, file, (1 << 44) + 1)
        journal.stat("fstat", file)
    os.unlink("file")  # where it is possible: the final tree is read whole


def check_write_through_two_descriptors(journal: Journal) -> None:
    make("file", b"." * 10)
    with opened("file", os.O_RDWR) as one, opened("file", os.O_RDWR) as two:
        os.pwrite(one, b"one", 0)
        journal.value("seen by the other", os.pread, two, 20, 0)
        os.pwrite(two, b"two", 7)
        journal.value("and back", os.pread, one, 20, 0)
    journal.value("and by name", content, "file")


def check_write_megabytes(journal: Journal) -> None:
    data = random.Random(2).randbytes(5_000_011)
    with open("file", "wb") as file:
        file.write(data)
        file.flush()
        journal.attempt("fsync", os.fsync, file.fileno())
        journal.attempt("fdatasync", os.fdatasync, file.fileno())
    journal.note("same", hashlib.sha256(content("file")).digest() == hashlib.sha256(data).digest())


def check_read_direct(journal: Journal) -> None:
    make("file", b"x" * 8192)
    # O_DIRECT wants whole sectors, in memory too: an anonymous mapping begins at a page.
    with opened("file", os.O_RDONLY | os.O_DIRECT) as file, mmap.mmap(-1, 8192) as aligned:
        journal.value("read", os.preadv, file, [aligned], 0)
        journal.note("content", aligned[:])


def check_lseek_holes(journal: Journal) -> None:
    with opened("file", _NEW) as file:
        os.pwrite(file, b"x" * 4096, 1 << 20)
        os.ftruncate(file, 2 << 20)
        journal.value("data", os.lseek, file, 0, os.SEEK_DATA)
        journal.value("hole", os.lseek, file, 1 << 20, os.SEEK_HOLE)
        journal.attempt("beyond the end", os.lseek, file, 3 << 20, os.SEEK_DATA)


def check_fallocate(journal: Journal) -> None:
    with opened("file", _NEW) as file:
        journal.attempt("posix_fallocate", os.posix_fallocate, file, 0, 100_000)
        journal.stat("fstat", file)


def check_copy_file_range(journal: Journal) -> None:
    make("file", random.Random(3).randbytes(100_000))
    with opened("file", os.O_RDONLY) as source, opened("copy", _NEW) as target:
        journal.value("copied", os.copy_file_range, source, target, 60_000, 10_000)


def check_sendfile(journal: Journal) -> None:
    make("file", random.Random(4).randbytes(100_000))
    with opened("file", os.O_RDONLY) as source, opened("copy", _NEW) as target:
        journal.value("sent", os.sendfile, target, source, 0, 100_000)
