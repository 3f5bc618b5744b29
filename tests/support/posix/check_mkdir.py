"""mkdir and rmdir."""

from __future__ import annotations

import os

from tests.support.children import acting_as, umask
from tests.support.posix.files import make
from tests.support.posix.journal import Journal


def check_mkdir(journal: Journal) -> None:
    journal.attempt("mkdir", os.mkdir, "new", 0o750)
    journal.attempt("again", os.mkdir, "new")
    journal.attempt("nested", os.makedirs, "new/a/b/c")
    journal.stat("parent counts its children", "new")


def check_mkdir_errors(journal: Journal) -> None:
    make("file")
    os.symlink("nowhere", "dangling")
    journal.attempt("over a file", os.mkdir, "file")
    journal.attempt("over a dangling link", os.mkdir, "dangling")
    journal.attempt("below a file", os.mkdir, "file/new")
    journal.attempt("below nothing", os.mkdir, "missing/new")
    journal.attempt("trailing slash", os.mkdir, "slash/")
    journal.attempt("dot", os.mkdir, ".")


def check_mkdir_modes(journal: Journal) -> None:
    for mask in (0o000, 0o022, 0o077):
        with umask(mask):
            os.mkdir(f"plain-{mask:o}", 0o777)
            os.mkdir(f"sticky-{mask:o}", 0o1777)
            os.mkdir(f"setgid-{mask:o}", 0o2777)


def check_mkdir_by_a_user(journal: Journal) -> None:
    with acting_as(1001, 1002):
        journal.attempt("in root's", os.mkdir, "refused")
    os.chmod(".", 0o777)
    with acting_as(1001, 1002):
        journal.attempt("in everybody's", os.mkdir, "own")
        journal.attempt("in their own", os.mkdir, "own/child")
        os.chmod("own", 0o500)
        journal.attempt("in a read-only one", os.mkdir, "own/refused")


def check_rmdir(journal: Journal) -> None:
    os.makedirs("full/child")
    journal.attempt("full", os.rmdir, "full")
    journal.attempt("empty", os.rmdir, "full/child")
    journal.stat("links", "full")
    journal.attempt("now empty", os.rmdir, "full")
    journal.attempt("gone", os.rmdir, "full")
    journal.stat("links of the top", ".")


def check_rmdir_errors(journal: Journal) -> None:
    make("file")
    os.symlink(".", "link")
    os.mkdir("empty")
    journal.attempt("a file", os.rmdir, "file")
    journal.attempt("a link", os.rmdir, "link")
    journal.attempt("dot", os.rmdir, "empty/.")
    journal.attempt("dot dot", os.rmdir, "empty/..")


def check_rmdir_of_the_current_directory(journal: Journal) -> None:
    os.mkdir("here")
    os.chdir("here")
    journal.attempt("rmdir", os.rmdir, "../here")
    journal.attempt("getcwd", os.getcwd)
    journal.attempt("create", os.mkdir, "child")
    journal.value("list", os.listdir, ".")
    journal.stat("fstat", ".")
    journal.attempt("up", os.chdir, "..")


def check_rmdir_of_an_open_directory(journal: Journal) -> None:
    os.mkdir("here")
    descriptor = os.open("here", os.O_RDONLY | os.O_DIRECTORY)
    journal.attempt("rmdir", os.rmdir, "here")
    journal.value("list", os.listdir, descriptor)
    journal.stat("fstat", descriptor)
    journal.attempt("create", os.mkdir, "child", dir_fd=descriptor)
    os.mkdir("here")
    journal.attempt("create in the namesake", os.mkdir, "here/child")
    journal.value("list the old one", os.listdir, descriptor)
