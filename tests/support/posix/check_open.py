"""open and create, with every flag that changes what they do."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.support.children import acting_as, umask
from tests.support.posix.files import content, make, opened, touch
from tests.support.posix.journal import Journal

_NEW = os.O_WRONLY | os.O_CREAT


def check_open_creates(journal: Journal) -> None:
    journal.attempt("create", touch, "new", _NEW, 0o640)
    journal.attempt("create again", touch, "new", _NEW, 0o600)
    journal.attempt("exclusively", touch, "new", _NEW | os.O_EXCL)
    journal.attempt("without O_CREAT", touch, "missing", os.O_WRONLY)
    journal.attempt("below a file", touch, "new/child", _NEW)
    journal.attempt("trailing slash", touch, "slash/", _NEW)


def check_open_creates_with_a_mode_that_forbids_it(journal: Journal) -> None:
    os.chmod(".", 0o777)
    with acting_as(1001, 1002), opened("file", os.O_RDWR | os.O_CREAT, 0o000) as file:
        journal.value("write", os.write, file, b"kept")
        journal.value("read", os.pread, file, 10, 0)
        journal.attempt("open again", touch, "file", os.O_RDONLY)


def check_open_modes(journal: Journal) -> None:
    for mask in (0o000, 0o022, 0o077, 0o777):
        with umask(mask):
            touch(f"plain-{mask:o}", _NEW, 0o666)
            touch(f"special-{mask:o}", _NEW, 0o6777)


def check_open_truncates(journal: Journal) -> None:
    make("file", b"something")
    with opened("file", os.O_RDWR) as before:
        journal.attempt("O_TRUNC", touch, "file", os.O_WRONLY | os.O_TRUNC)
        journal.stat("through the older descriptor", before)
    journal.value("size", os.path.getsize, "file")


def check_open_truncates_for_a_user(journal: Journal) -> None:
    make("file", b"something", 0o644)
    with acting_as(1001, 1002):
        journal.attempt("O_TRUNC", touch, "file", os.O_WRONLY | os.O_TRUNC)
        journal.attempt("O_RDONLY and O_TRUNC", touch, "file", os.O_RDONLY | os.O_TRUNC)
    journal.value("content", content, "file")


def check_open_appends(journal: Journal) -> None:
    make("file", b"start")
    with opened("file", os.O_WRONLY | os.O_APPEND) as first, opened("file", os.O_RDWR | os.O_APPEND) as second:
        os.write(first, b" one")
        os.write(second, b" two")
        os.lseek(first, 0, os.SEEK_SET)
        os.write(first, b" three")
        journal.value("pwrite appends too", os.pwrite, second, b" four", 0)
    journal.value("content", content, "file")


def check_open_links(journal: Journal) -> None:
    os.symlink("target", "link")
    journal.attempt("dangling, exclusively", touch, "link", _NEW | os.O_EXCL)
    journal.attempt("dangling, not followed", touch, "link", _NEW | os.O_NOFOLLOW)
    journal.attempt("creates the target", touch, "link", _NEW)
    journal.attempt("not followed", touch, "link", os.O_RDONLY | os.O_NOFOLLOW)
    journal.attempt("the link itself", touch, "link", os.O_PATH | os.O_NOFOLLOW)


def check_open_directories(journal: Journal) -> None:
    os.mkdir("directory")
    make("file")
    journal.attempt("read", touch, "directory", os.O_RDONLY)
    journal.attempt("write", touch, "directory", os.O_WRONLY)
    journal.attempt("create", touch, "directory", os.O_RDONLY | os.O_CREAT)
    journal.attempt("O_DIRECTORY", touch, "directory", os.O_RDONLY | os.O_DIRECTORY)
    journal.attempt("O_DIRECTORY on a file", touch, "file", os.O_RDONLY | os.O_DIRECTORY)
    with opened("directory", os.O_RDONLY) as directory:
        journal.attempt("read(2) of it", os.read, directory, 10)
        journal.attempt("fsync of it", os.fsync, directory)


def check_open_nameless(journal: Journal) -> None:
    file = journal.attempt("O_TMPFILE", os.open, ".", os.O_TMPFILE | os.O_RDWR, 0o600)
    if file is not None:
        os.write(file, b"without a name")
        assert os.fstat(file).st_nlink == 0


def check_open_access(journal: Journal) -> None:
    for mode in (0o000, 0o200, 0o400, 0o600, 0o040, 0o020, 0o004, 0o002):
        make(f"{mode:03o}", mode=mode)
        os.chown(f"{mode:03o}", 1001, 1002)
    for who, user, group in (("owner", 1001, 5000), ("group", 5001, 1002), ("other", 5001, 5000)):
        with acting_as(user, group):
            for name in sorted(os.listdir(".")):
                journal.attempt(f"{who} reads {name}", touch, name, os.O_RDONLY)
                journal.attempt(f"{who} writes {name}", touch, name, os.O_WRONLY)
                journal.note(f"{who} access {name}", os.access(name, os.R_OK, effective_ids=True))


def check_open_below_a_closed_directory(journal: Journal) -> None:
    os.makedirs("closed/below")
    make("closed/file", mode=0o666)
    os.chmod("closed", 0o700)
    os.mkdir("unlisted")
    make("unlisted/file", mode=0o666)
    os.chmod("unlisted", 0o711)
    with acting_as(1001, 1002):
        journal.attempt("file", touch, "closed/file", os.O_RDONLY)
        journal.attempt("stat", os.stat, "closed/below")
        journal.attempt("list", os.listdir, "closed")
        journal.attempt("file of an unlisted directory", touch, "unlisted/file", os.O_RDONLY)
        journal.attempt("list an unlisted directory", os.listdir, "unlisted")


def check_open_synchronous(journal: Journal) -> None:
    with opened("file", os.O_RDWR | os.O_CREAT | os.O_SYNC) as file:
        journal.value("O_SYNC", os.write, file, b"x" * 10_000)
    with opened("file", os.O_WRONLY | os.O_DSYNC | os.O_APPEND) as file:
        journal.value("O_DSYNC", os.write, file, b"y" * 10_000)


def check_open_executes(journal: Journal) -> None:
    executable = shutil.which("true")
    assert executable is not None
    shutil.copy(executable, "true")
    os.chmod("true", 0o755)
    make("script", b"#!/bin/sh\nexit 7\n", 0o755)
    make("plain", b"#!/bin/sh\nexit 7\n", 0o644)
    journal.value("binary", lambda: subprocess.run(["./true"], check=False).returncode)
    journal.value("script", lambda: subprocess.run(["./script"], check=False).returncode)
    journal.attempt("not executable", subprocess.run, ["./plain"], check=False)
