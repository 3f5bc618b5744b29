"""link, unlink, symlink, readlink."""

from __future__ import annotations

import os

from tests.support.children import acting_as
from tests.support.posix.files import content, make, opened, touch
from tests.support.posix.journal import Journal


def check_link(journal: Journal) -> None:
    make("file", b"one file")
    os.mkdir("below")
    journal.attempt("link", os.link, "file", "second")
    journal.attempt("elsewhere", os.link, "file", "below/third")
    journal.stat("three names", "below/third")
    journal.note("one file", os.path.samefile("file", "below/third"))
    with open("second", "ab") as file:
        file.write(b", three names")
    journal.value("content", content, "file")


def check_link_errors(journal: Journal) -> None:
    make("file")
    os.mkdir("directory")
    journal.attempt("existing", os.link, "file", "file")
    journal.attempt("a directory", os.link, "directory", "second")
    journal.attempt("missing", os.link, "missing", "second")
    journal.attempt("into a file", os.link, "file", "file/second")
    journal.attempt("into nothing", os.link, "file", "missing/second")


def check_link_special_files(journal: Journal) -> None:
    os.symlink("target", "symlink")
    os.mkfifo("fifo")
    journal.attempt("a symlink itself", os.link, "symlink", "second-symlink", follow_symlinks=False)
    journal.attempt("a fifo", os.link, "fifo", "second-fifo")


def check_link_by_a_user(journal: Journal) -> None:
    os.chmod(".", 0o777)
    make("readable", mode=0o644)
    make("writable", mode=0o666)
    with acting_as(1001, 1002):
        journal.attempt("not theirs", os.link, "readable", "second-readable")
        journal.attempt("not theirs, writable", os.link, "writable", "second-writable")


def check_unlink(journal: Journal) -> None:
    make("file")
    os.link("file", "second")
    journal.attempt("one name", os.unlink, "file")
    journal.stat("the other", "second")
    journal.attempt("gone", os.unlink, "file")
    journal.attempt("last name", os.unlink, "second")
    journal.value("list", os.listdir, ".")


def check_unlink_errors(journal: Journal) -> None:
    os.mkdir("directory")
    make("file")
    journal.attempt("a directory", os.unlink, "directory")
    journal.attempt("below a file", os.unlink, "file/child")
    journal.attempt("trailing slash", os.unlink, "file/")
    journal.attempt("dot", os.unlink, ".")


def check_unlink_every_type(journal: Journal) -> None:
    os.symlink("nowhere", "symlink")
    os.mkfifo("fifo")
    os.mknod("device", 0o020600, os.makedev(1, 3))
    for name in ("symlink", "fifo", "device"):
        journal.attempt(name, os.unlink, name)


def check_unlink_of_an_open_file(journal: Journal) -> None:
    make("file", b"still here")
    with opened("file", os.O_RDWR) as file:
        journal.attempt("unlink", os.unlink, "file")
        journal.stat("fstat", file)
        journal.value("pread", os.pread, file, 100, 0)
        journal.value("pwrite", os.pwrite, file, b"and longer", 10)
        journal.attempt("ftruncate", os.ftruncate, file, 15)
        journal.attempt("fchmod", os.fchmod, file, 0o600)
        journal.attempt("fsync", os.fsync, file)
        journal.value("pread again", os.pread, file, 100, 0)
        journal.stat("fstat again", file)
        make("file", b"a namesake")
        journal.value("not the namesake", os.pread, file, 100, 0)
    journal.value("the namesake", content, "file")


def check_unlink_of_a_new_open_file(journal: Journal) -> None:
    with opened("file", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600) as file:
        os.unlink("file")
        journal.value("write", os.write, file, b"x" * 100_000)
        journal.stat("fstat", file)
        journal.note("read", len(os.pread(file, 200_000, 0)))


def check_symlink(journal: Journal) -> None:
    for label, target in {
        "plain": b"file",
        "dangling": b"no/such/thing",
        "absolute": b"/dev/null",
        "bytes": b"\xff\xfe not utf-8 \x80",
        "sixty": b"t" * 60,  # longer ones do not fit into an ext4 inode
        "long": b"l" * 4095,
    }.items():
        journal.attempt(label, os.symlink, target, label)
        journal.value(f"readlink {label}", os.readlink, os.fsencode(label))
        journal.stat(f"stat {label}", label)


def check_symlink_errors(journal: Journal) -> None:
    make("file")
    journal.attempt("existing", os.symlink, "target", "file")
    journal.attempt("empty target", os.symlink, "", "empty")
    journal.attempt("too long", os.symlink, "x" * 4096, "long")
    journal.attempt("below a file", os.symlink, "target", "file/link")


def check_symlink_is_followed(journal: Journal) -> None:
    os.makedirs("real/directory")
    make("real/directory/file", b"found")
    os.symlink("real/directory", "link")
    os.symlink("link/file", "second")
    journal.value("read", content, "second")
    make("link/new", b"made through it")
    journal.value("list", lambda: sorted(os.listdir("real/directory")))
    journal.attempt("open for writing", touch, "second", os.O_WRONLY | os.O_TRUNC)
    journal.value("truncated", os.path.getsize, "real/directory/file")


def check_symlink_loop(journal: Journal) -> None:
    os.symlink("b", "a")
    os.symlink("a", "b")
    journal.attempt("stat", os.stat, "a")
    journal.attempt("open", os.open, "b", os.O_RDONLY)
    journal.attempt("not followed", os.open, "a", os.O_RDONLY | os.O_NOFOLLOW)


def check_readlink_errors(journal: Journal) -> None:
    make("file")
    journal.attempt("a file", os.readlink, "file")
    journal.attempt("a directory", os.readlink, ".")
    journal.attempt("missing", os.readlink, "missing")
