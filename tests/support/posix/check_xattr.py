"""Extended attributes: set, get, list, remove; flags, sizes, namespaces."""

from __future__ import annotations

import os

from tests.support.children import acting_as
from tests.support.posix.files import make
from tests.support.posix.journal import Journal


def _sorted_list(name: str) -> list[str]:
    return sorted(os.listxattr(name))


def check_xattr(journal: Journal) -> None:
    make("file")
    os.mkdir("directory")
    for name in ("file", "directory"):
        journal.attempt(f"set {name}", os.setxattr, name, "user.one", b"1")
        journal.attempt(f"set bytes {name}", os.setxattr, name, b"user.\xff\xfe", bytes(range(256)))
        journal.attempt(f"set empty {name}", os.setxattr, name, "user.empty", b"")
        journal.value(f"get {name}", os.getxattr, name, "user.one")
        journal.value(f"get bytes {name}", os.getxattr, name, b"user.\xff\xfe")
        journal.value(f"get empty {name}", os.getxattr, name, "user.empty")
        journal.value(f"list {name}", _sorted_list, name)
        journal.attempt(f"remove {name}", os.removexattr, name, "user.one")
        journal.value(f"get removed {name}", os.getxattr, name, "user.one")
        journal.attempt(f"remove removed {name}", os.removexattr, name, "user.one")


def check_xattr_flags(journal: Journal) -> None:
    make("file")
    journal.attempt("replace none", os.setxattr, "file", "user.a", b"1", os.XATTR_REPLACE)
    journal.attempt("create", os.setxattr, "file", "user.a", b"2", os.XATTR_CREATE)
    journal.attempt("create again", os.setxattr, "file", "user.a", b"3", os.XATTR_CREATE)
    journal.attempt("replace", os.setxattr, "file", "user.a", b"4", os.XATTR_REPLACE)
    journal.value("get", os.getxattr, "file", "user.a")


def check_xattr_sizes(journal: Journal) -> None:
    for size in (100, 1000, 3000, 5000, 65536, 65537):
        make(f"{size}")
        journal.attempt(f"set {size}", os.setxattr, f"{size}", "user.value", b"v" * size)
    make("names")
    journal.attempt("255 bytes of name", os.setxattr, "names", "user." + "n" * 250, b"1")
    journal.attempt("256 bytes of name", os.setxattr, "names", "user." + "n" * 251, b"1")
    make("many")
    for number in range(60):
        os.setxattr("many", f"user.number-{number:03}", b"v" * 20)


def check_xattr_namespaces(journal: Journal) -> None:
    make("file")
    for name in ("system.a", "nonsense.a", "nonsense", "user.", "user"):
        journal.attempt(f"set {name}", os.setxattr, "file", name, b"1")
        journal.value(f"get {name}", os.getxattr, "file", name)


def check_xattr_trusted(journal: Journal) -> None:
    make("file")
    os.chown("file", 1001, 1002)
    journal.attempt("set", os.setxattr, "file", "trusted.a", b"1")
    journal.value("get", os.getxattr, "file", "trusted.a")
    with acting_as(1001, 1002):
        journal.attempt("set by its owner", os.setxattr, "file", "trusted.a", b"1")
        journal.value("list by its owner", os.listxattr, "file")
    journal.attempt("remove", os.removexattr, "file", "trusted.a")
    journal.attempt("set security", os.setxattr, "file", "security.a", b"1")
    journal.value("get security", os.getxattr, "file", "security.a")
    os.unlink("file")


def check_xattr_of_special_files(journal: Journal) -> None:
    os.symlink("nowhere", "symlink")
    os.mkfifo("fifo")
    for name in ("symlink", "fifo"):
        journal.attempt(f"set {name}", os.setxattr, name, "user.a", b"1", follow_symlinks=False)
        journal.value(f"get {name}", os.getxattr, name, "user.a", follow_symlinks=False)
        capability = bytes.fromhex("0100000200040000000000000000000000000000")
        journal.attempt(
            f"capability {name}", os.setxattr, name, "security.capability", capability, follow_symlinks=False
        )
        journal.value(f"list {name}", os.listxattr, name, follow_symlinks=False)


def check_xattr_by_a_user(journal: Journal) -> None:
    make("own")
    os.chown("own", 1001, 1002)
    make("readable", mode=0o644)
    make("closed", mode=0o600)
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    for name in ("own", "readable", "closed"):
        os.setxattr(name, "user.seen", b"s")
    with acting_as(1001, 1002):
        for name in ("own", "readable", "closed", "sticky"):
            journal.attempt(f"set {name}", os.setxattr, name, "user.new", b"1")
            journal.value(f"get {name}", os.getxattr, name, "user.seen")
            journal.value(f"get trusted {name}", os.getxattr, name, "trusted.hidden")
            journal.attempt(f"set trusted {name}", os.setxattr, name, "trusted.new", b"1")
            journal.value(f"list {name}", _sorted_list, name)
            journal.attempt(f"remove {name}", os.removexattr, name, "user.seen")
