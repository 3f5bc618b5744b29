"""Whole trees, as the usual tools copy them, and the filesystem as a whole."""

from __future__ import annotations

import os
import random
import shutil
import stat

from tests.support.commands import run
from tests.support.posix.files import make
from tests.support.posix.journal import Journal


def _plant(dice: random.Random, depth: int) -> None:
    """Make a tree with some of everything below the current directory."""
    for number in range(6):
        name = f"file-{number}"
        make(name, dice.randbytes(dice.choice((0, 10, 5000))), dice.choice((0o644, 0o400, 0o4755, 0o666)))
        os.setxattr(name, "user.number", str(number).encode())
        os.utime(name, ns=(dice.getrandbits(60), dice.getrandbits(60)))
    os.link("file-0", "hard-link")
    os.symlink("file-1", "symlink")
    os.mkfifo("fifo")
    os.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.chown("file-2", 1001, 1002)
    make(b"\xff not utf-8", b"bytes")
    for number in range(2 if depth else 0):
        os.mkdir(f"directory-{number}")
        os.chdir(f"directory-{number}")
        _plant(dice, depth - 1)
        os.chdir("..")


def _times(top: str) -> list[tuple[bytes, int]]:
    found = []
    for directory, _, files in os.walk(os.fsencode(top)):
        for name in files:
            path = os.path.join(directory, name)
            found.append((path, os.lstat(path).st_mtime_ns))
    return sorted(entry for entry in found if os.path.basename(entry[0]).startswith(b"file-"))


def check_tree_copied(journal: Journal) -> None:
    os.mkdir("original")
    os.chdir("original")
    _plant(random.Random(5), 3)
    os.chdir("..")
    journal.attempt("cp", run, "cp", "-a", "original", "copy")
    journal.value("times of the original", _times, "original")
    journal.value("times of the copy", _times, "copy")


def check_tree_through_tar(journal: Journal) -> None:
    os.mkdir("original")
    os.chdir("original")
    _plant(random.Random(6), 2)
    os.chdir("..")
    os.mkdir("copy")
    journal.attempt("pack", run, "tar", "--xattrs", "-cf", "archive", "-C", "original", ".")
    journal.attempt("unpack", run, "tar", "--xattrs", "-xpf", "archive", "-C", "copy")
    os.unlink("archive")  # it holds the place's times
    journal.value("times of the copy", _times, "copy")


def check_tree_removed(journal: Journal) -> None:
    os.mkdir("original")
    os.chdir("original")
    _plant(random.Random(7), 3)
    os.chdir("..")
    journal.attempt("rmtree", shutil.rmtree, "original")
    journal.stat("top", ".")


def check_statfs(journal: Journal) -> None:
    make("file")
    for name in (".", "file"):
        found = os.statvfs(name)
        journal.note(name, (found.f_bsize, found.f_frsize, found.f_blocks, found.f_files, found.f_namemax))
        journal.note(f"{name} free", 0 < found.f_bavail <= found.f_bfree <= found.f_blocks)
        journal.note(f"{name} inodes", 0 < found.f_favail <= found.f_ffree <= found.f_files)
