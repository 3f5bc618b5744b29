"""Who owns what: chown, chmod, creation by users, groups, setgid and sticky directories."""

from __future__ import annotations

import os
import stat

from tests.support.children import acting_as, umask
from tests.support.posix.files import content, make, touch
from tests.support.posix.journal import Journal

_USER, _GROUP, _EXTRA = 1001, 1002, 1003


def check_owner_of_new_files(journal: Journal) -> None:
    os.chmod(".", 0o777)
    with acting_as(_USER, _GROUP, _EXTRA):
        make("file")
        os.mkdir("directory")
        os.symlink("file", "symlink")
        os.mkfifo("fifo")
        os.link("file", "link")


def check_owner_is_large(journal: Journal) -> None:
    os.chmod(".", 0o777)
    with acting_as(4_000_000_000, 3_000_000_000):
        make("file")
    journal.stat("file", "file")


def check_chown(journal: Journal) -> None:
    make("file")
    os.symlink("file", "link")
    journal.attempt("both", os.chown, "file", 11, 22)
    journal.attempt("owner", os.chown, "file", 33, -1)
    journal.attempt("group", os.chown, "file", -1, 44)
    journal.attempt("neither", os.chown, "file", -1, -1)
    journal.attempt("the link", os.lchown, "link", 55, 66)


def check_chown_by_a_user(journal: Journal) -> None:
    make("own")
    os.chown("own", _USER, _GROUP)
    make("other")
    with acting_as(_USER, _GROUP, _EXTRA):
        journal.attempt("give away", os.chown, "own", 5000, -1)
        journal.attempt("to an own group", os.chown, "own", -1, _EXTRA)
        journal.attempt("to a foreign group", os.chown, "own", -1, 5000)
        journal.attempt("take", os.chown, "other", _USER, -1)
        journal.attempt("no change of another's", os.chown, "other", -1, -1)
        journal.attempt("no change of the own", os.chown, "own", _USER, -1)


def check_chmod(journal: Journal) -> None:
    make("file")
    os.mkdir("directory")
    for mode in (0o000, 0o777, 0o4711, 0o2755, 0o1755, 0o7777, 0o640):
        journal.attempt(f"file {mode:o}", os.chmod, "file", mode)
        journal.stat(f"file is {mode:o}", "file")
        journal.attempt(f"directory {mode:o}", os.chmod, "directory", mode)
        journal.stat(f"directory is {mode:o}", "directory")


def check_chmod_by_a_user(journal: Journal) -> None:
    for name, user, group in (("own", _USER, _GROUP), ("foreign group", _USER, 5000), ("other", 5000, _GROUP)):
        make(name)
        os.chown(name, user, group)
    with acting_as(_USER, _GROUP, _EXTRA):
        for name in ("own", "foreign group", "other"):
            # setgid for a group that the caller is not in: the kernel drops the bit, without an error
            journal.attempt(name, os.chmod, name, 0o2755)
            journal.stat(f"{name} after", name)
        os.chown("own", -1, _EXTRA)
        journal.attempt("supplementary group", os.chmod, "own", 0o2755)


def check_access_by_supplementary_group(journal: Journal) -> None:
    make("file", b"for the group", 0o640)
    os.chown("file", 0, _EXTRA)
    os.mkdir("directory")
    os.chown("directory", 0, _EXTRA)
    os.chmod("directory", 0o770)
    with acting_as(_USER, _GROUP):
        journal.attempt("stranger reads", content, "file")
        journal.attempt("stranger creates", make, "directory/strange")
    with acting_as(_USER, _GROUP, 7, _EXTRA, 9):
        journal.attempt("member reads", content, "file")
        journal.attempt("member writes", touch, "file", os.O_WRONLY)
        journal.attempt("member creates", make, "directory/new")


def check_setgid_directory(journal: Journal) -> None:
    os.mkdir("team")
    os.chown("team", 0, _EXTRA)
    os.chmod("team", 0o2777)
    with acting_as(_USER, _GROUP), umask(0o002):
        make("team/file")
        os.mkdir("team/directory", 0o755)
        os.mkdir("team/directory/deeper")
        os.symlink("file", "team/symlink")
        os.mknod("team/node", stat.S_IFREG | 0o664)
        os.mkfifo("team/fifo")


def check_setgid_file_in_a_setgid_directory(journal: Journal) -> None:
    os.mkdir("team")
    os.chown("team", 0, _EXTRA)
    os.chmod("team", 0o2777)
    for label, groups in (("stranger", ()), ("member", (_EXTRA,))):
        with acting_as(_USER, _GROUP, *groups), umask(0):
            # a stranger must not make a program that runs with the directory's group
            touch(f"team/{label}-open", os.O_WRONLY | os.O_CREAT, 0o2775)
            os.mknod(f"team/{label}-mknod", stat.S_IFREG | 0o2775)
            touch(f"team/{label}-not-executable", os.O_WRONLY | os.O_CREAT, 0o2664)


def check_sticky_directory(journal: Journal) -> None:
    os.mkdir("shared")
    os.chmod("shared", 0o1777)
    make("shared/roots", mode=0o666)
    os.mkdir("shared/roots-directory")
    with acting_as(5000, 5000):
        make("shared/theirs", mode=0o666)
    with acting_as(_USER, _GROUP):
        make("shared/own")
        journal.attempt("unlink root's", os.unlink, "shared/roots")
        journal.attempt("unlink theirs", os.unlink, "shared/theirs")
        journal.attempt("rmdir root's", os.rmdir, "shared/roots-directory")
        journal.attempt("rename theirs", os.rename, "shared/theirs", "shared/mine")
        journal.attempt("unlink own", os.unlink, "shared/own")
    os.chown("shared", _USER, -1)
    with acting_as(_USER, _GROUP):
        journal.attempt("the directory's owner may", os.unlink, "shared/theirs")
