"""Memory maps: read, written, shared, and truncated under one's feet."""

from __future__ import annotations

import mmap
import os
import signal

from tests.support.children import ChildError, in_child
from tests.support.posix.files import content, make, opened
from tests.support.posix.journal import Journal


def check_mmap_read(journal: Journal) -> None:
    make("file", bytes(range(256)) * 50)
    with opened("file", os.O_RDONLY) as file, mmap.mmap(file, 0, prot=mmap.PROT_READ) as mapped:
        journal.note("content", mapped[:])
        with opened("file", os.O_WRONLY) as writer:
            os.pwrite(writer, b"changed", 5000)
        journal.note("sees writes", mapped[4995:5010])


def check_mmap_shared_write(journal: Journal) -> None:
    make("file", b"." * 10_000)
    with opened("file", os.O_RDWR) as file, mmap.mmap(file, 0) as mapped:
        mapped[0:5] = b"first"
        mapped[8190:8196] = b"across"
        journal.value("seen by read", os.pread, file, 5, 0)
        mapped.flush()
        journal.value("after msync", os.pread, file, 6, 8190)
        mapped[9000:9004] = b"late"
    journal.value("content", content, "file")


def check_mmap_shared_by_processes(journal: Journal) -> None:
    make("file", b"." * 4096)
    with opened("file", os.O_RDWR) as file, mmap.mmap(file, 0) as mapped:

        def other() -> None:
            with open("file", "r+b") as again, mmap.mmap(again.fileno(), 0) as theirs:
                theirs[100:105] = b"child"

        in_child(other)
        journal.note("seen", mapped[95:110])


def check_mmap_private_write(journal: Journal) -> None:
    make("file", b"." * 100)
    with opened("file", os.O_RDWR) as file, mmap.mmap(file, 0, flags=mmap.MAP_PRIVATE) as mapped:
        mapped[0:4] = b"mine"
        journal.note("here", mapped[:10])
        journal.value("not there", os.pread, file, 10, 0)


def check_mmap_of_an_unlinked_file(journal: Journal) -> None:
    make("file", b"." * 9000)
    with opened("file", os.O_RDWR) as file:
        mapped = mmap.mmap(file, 0)
        os.unlink("file")
    mapped[0:4] = b"gone"
    mapped.flush()
    journal.note("here", mapped[:10])
    journal.note("unread page", mapped[8192:8200])
    mapped.close()


def check_mmap_of_what_may_not_be_written(journal: Journal) -> None:
    make("file", b"." * 100)
    with opened("file", os.O_RDONLY) as file:
        journal.attempt("shared, writable", mmap.mmap, file, 0)
    with opened("file", os.O_WRONLY) as file:
        journal.attempt("without the right to read", mmap.mmap, file, 0)


def check_mmap_beyond_the_end(journal: Journal) -> None:
    make("file", b"." * 8192)

    def touch_what_was_cut_off() -> int:
        with opened("file", os.O_RDWR) as file, mmap.mmap(file, 0) as mapped:
            os.ftruncate(file, 4096)
            return mapped[8000]

    try:
        journal.value("read", in_child, touch_what_was_cut_off)
    except ChildError as error:
        journal.note("killed by SIGBUS", f"{signal.SIGBUS:#x}" in str(error))
