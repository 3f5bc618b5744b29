"""rename, plain and with flags."""

from __future__ import annotations

import os

from appliance.linux import files, mounts
from tests.support.children import acting_as
from tests.support.posix.files import content, make, opened
from tests.support.posix.journal import Journal


def rename_with(flags: int, old: str, new: str) -> None:
    """renameat2(2) on relative names."""
    files.rename(mounts.AT_FDCWD, os.fsencode(old), mounts.AT_FDCWD, os.fsencode(new), flags)


def check_rename(journal: Journal) -> None:
    make("file", b"moved")
    os.mkdir("directory")
    journal.attempt("rename", os.rename, "file", "new")
    journal.attempt("old name", os.stat, "file")
    journal.attempt("into a directory", os.rename, "new", "directory/new")
    journal.attempt("directory", os.rename, "directory", "other")
    journal.value("content", content, "other/new")


def check_rename_over_a_file(journal: Journal) -> None:
    make("file", b"new")
    make("victim", b"old")
    with opened("victim", os.O_RDONLY) as victim:
        journal.attempt("rename", os.rename, "file", "victim")
        journal.value("name", content, "victim")
        journal.value("still open", os.read, victim, 10)
        journal.stat("without a name", victim)


def check_rename_over_a_directory(journal: Journal) -> None:
    os.makedirs("mover/child")
    os.mkdir("empty")
    os.makedirs("full/child")
    make("file")
    journal.attempt("over a full one", os.rename, "mover", "full")
    journal.attempt("over a file", os.rename, "mover", "file")
    journal.attempt("file over it", os.rename, "file", "empty")
    journal.attempt("over an empty one", os.rename, "mover", "empty")
    journal.stat("links", ".")


def check_rename_of_one_file_to_its_other_name(journal: Journal) -> None:
    make("file", b"twice")
    os.link("file", "second")
    journal.attempt("rename", os.rename, "file", "second")
    journal.attempt("to itself", os.rename, "file", "file")


def check_rename_into_itself(journal: Journal) -> None:
    os.makedirs("a/b/c")
    journal.attempt("into its child", os.rename, "a", "a/b/new")
    journal.attempt("over its child", os.rename, "a", "a/b")
    journal.attempt("over its parent", os.rename, "a/b/c", "a/b")
    journal.attempt("dot", os.rename, "a/.", "new")
    journal.attempt("dot dot", os.rename, "a/b/..", "new")


def check_rename_errors(journal: Journal) -> None:
    make("file")
    journal.attempt("missing", os.rename, "missing", "new")
    journal.attempt("to a missing directory", os.rename, "file", "missing/new")
    journal.attempt("below a file", os.rename, "file", "file/new")
    journal.attempt("trailing slash", os.rename, "file", "new/")


def check_rename_between_directories(journal: Journal) -> None:
    os.makedirs("from/directory/deep")
    os.mkdir("to")
    journal.attempt("rename", os.rename, "from/directory", "to/directory")
    journal.stat("links here", "from")
    journal.stat("links there", "to")
    descriptor = os.open("to/directory/deep/../..", os.O_RDONLY)
    journal.note("dot dot follows", os.path.sameopenfile(descriptor, os.open("to", os.O_RDONLY)))


def check_rename_of_an_open_file(journal: Journal) -> None:
    make("file", b"one")
    os.mkdir("away")
    with opened("file", os.O_RDWR | os.O_APPEND) as file:
        journal.attempt("rename", os.rename, "file", "away/new")
        journal.value("write", os.write, file, b", two")
        journal.stat("fstat", file)
    journal.value("content", content, "away/new")


def check_rename_of_the_current_directory(journal: Journal) -> None:
    os.makedirs("here/below")
    before = os.getcwd()
    os.chdir("here/below")
    journal.attempt("rename", os.rename, "../../here", "../../there")
    journal.note("getcwd", os.path.relpath(os.getcwd(), before))


def check_rename_noreplace(journal: Journal) -> None:
    make("file", b"one")
    make("other", b"two")
    journal.attempt("over a file", rename_with, files.RENAME_NOREPLACE, "file", "other")
    journal.attempt("to a new name", rename_with, files.RENAME_NOREPLACE, "file", "new")
    journal.value("content", content, "new")


def check_rename_exchange(journal: Journal) -> None:
    make("file", b"one")
    make("other", b"two")
    os.makedirs("directory/child")
    journal.attempt("files", rename_with, files.RENAME_EXCHANGE, "file", "other")
    journal.value("content", content, "file")
    journal.attempt("file and directory", rename_with, files.RENAME_EXCHANGE, "file", "directory")
    journal.attempt("with nothing", rename_with, files.RENAME_EXCHANGE, "other", "missing")
    journal.attempt("with its child", rename_with, files.RENAME_EXCHANGE, "file", "file/child")
    journal.attempt("both flags", rename_with, files.RENAME_EXCHANGE | files.RENAME_NOREPLACE, "other", "file")


def check_rename_by_a_user(journal: Journal) -> None:
    os.chmod(".", 0o777)
    make("roots")
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    make("sticky/roots")
    os.mkdir("closed")
    make("closed/file")
    with acting_as(1001, 1002):
        journal.attempt("another's", os.rename, "roots", "renamed")
        journal.attempt("another's, sticky", os.rename, "sticky/roots", "sticky/renamed")
        make("sticky/own")
        journal.attempt("own over another's, sticky", os.rename, "sticky/own", "sticky/roots")
        journal.attempt("own, sticky", os.rename, "sticky/own", "sticky/renamed")
        journal.attempt("out of a closed directory", os.rename, "closed/file", "file")
