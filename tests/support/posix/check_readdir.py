"""Listing directories: every entry once, with its type, from any offset."""

from __future__ import annotations

import os
import stat

from appliance.linux import dirents
from tests.support.children import acting_as
from tests.support.posix.files import make, opened
from tests.support.posix.journal import Journal

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


def check_readdir_types(journal: Journal) -> None:
    make("file")
    os.mkdir("directory")
    os.symlink("file", "symlink")
    os.mkfifo("fifo")
    os.mknod("socket", stat.S_IFSOCK | 0o600)
    os.mknod("char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod("block", stat.S_IFBLK | 0o600, os.makedev(7, 300))
    with opened(".", _DIRECTORY) as here:
        journal.note("types", sorted((entry.name, entry.type) for entry in dirents.read_entries(here)))


def check_readdir_inode_numbers(journal: Journal) -> None:
    os.makedirs("directory/child")
    make("directory/file")
    os.link("directory/file", "directory/link")
    # knfsd finds the name of a directory by the inode numbers in its parent.
    with opened("directory", _DIRECTORY) as here:
        agree = {}
        for entry in dirents.read_entries(here):
            agree[entry.name] = entry.inode == os.lstat(b"directory/" + entry.name).st_ino
    journal.note("d_ino is st_ino", sorted(agree.items()))


def check_readdir_of_changing_directories(journal: Journal) -> None:
    os.mkdir("directory")
    with opened("directory", _DIRECTORY) as directory:

        def rewind_and_list() -> list[str]:
            os.lseek(directory, 0, os.SEEK_SET)  # what was made after this need not be shown
            return os.listdir(directory)

        journal.value("empty", rewind_and_list)
        make("directory/new")
        journal.value("one", rewind_and_list)
        os.rename("directory/new", "directory/renamed")
        journal.value("renamed", rewind_and_list)
        os.unlink("directory/renamed")
        journal.value("empty again", rewind_and_list)


def check_readdir_from_every_offset(journal: Journal) -> None:
    os.mkdir("directory")
    for number in range(300):
        make(f"directory/{number:03}-{'x' * (number % 200)}")
    with opened("directory", _DIRECTORY) as directory:
        entries = list(dirents.read_entries(directory))
    journal.note("all", sorted(entry.name for entry in entries))
    faults = []
    with opened("directory", _DIRECTORY) as directory:
        for position in range(0, len(entries), 17):
            os.lseek(directory, entries[position].offset, os.SEEK_SET)
            rest = [entry.name for entry in dirents.read_entries(directory)]
            if rest != [entry.name for entry in entries[position + 1 :]]:
                faults.append(position)
    journal.note("positions from which the rest is not the rest", faults)


def check_readdir_offsets_outlive_removals(journal: Journal) -> None:
    os.mkdir("directory")
    for number in range(200):
        make(f"directory/{number:03}")
    with opened("directory", _DIRECTORY) as directory:
        entries = list(dirents.read_entries(directory))
        for entry in entries[50:100]:
            if entry.name not in (b".", b".."):
                os.unlink(b"directory/" + entry.name)
        os.lseek(directory, entries[75].offset, os.SEEK_SET)
        rest = [entry.name for entry in dirents.read_entries(directory)]
    journal.note("goes on behind the gap", rest == [entry.name for entry in entries[100:]])


def check_readdir_errors(journal: Journal) -> None:
    make("file")
    os.mkdir("closed")
    os.chmod("closed", 0o711)
    journal.attempt("a file", os.listdir, "file")
    journal.attempt("missing", os.listdir, "missing")
    with opened("file", os.O_RDONLY) as file:
        journal.attempt("a file's descriptor", list, dirents.read_entries(file))
    with acting_as(1001, 1002):
        journal.attempt("by a stranger", os.listdir, "closed")
