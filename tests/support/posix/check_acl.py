"""POSIX ACLs: what setfacl sets is inherited, shown and obeyed."""

from __future__ import annotations

import os
import stat

from tests.support.children import acting_as, umask
from tests.support.commands import run
from tests.support.posix.files import content, make, touch
from tests.support.posix.journal import Journal


def _setfacl(*words: str) -> None:
    run("setfacl", *words)


def _acls(journal: Journal, *names: str) -> None:
    for name in names:
        journal.value(f"getfacl {name}", run, "getfacl", "-n", name)
        journal.stat(f"stat {name}", name)


def check_acl_is_obeyed(journal: Journal) -> None:
    make("file", b"for one", 0o600)
    os.mkdir("directory")
    os.chmod("directory", 0o700)
    _setfacl("-m", "u:1001:r,g:1003:rw", "file")
    _setfacl("-m", "u:1001:rwx", "directory")
    _acls(journal, "file", "directory")
    for label, user, groups in (("named", 1001, ()), ("in the named group", 1004, (1003,)), ("stranger", 1005, ())):
        with acting_as(user, user, *groups):
            journal.attempt(f"{label} reads", content, "file")
            journal.attempt(f"{label} writes", touch, "file", os.O_WRONLY)
            journal.note(f"{label} may write", os.access("file", os.W_OK, effective_ids=True))
            journal.attempt(f"{label} creates", make, f"directory/{label}")
            journal.attempt(f"{label} lists", os.listdir, "directory")


def check_acl_can_refuse(journal: Journal) -> None:
    make("file", b"for all but one", 0o644)
    _setfacl("-m", "u:1001:-", "file")
    for user in (1001, 1004):
        with acting_as(user, user):
            journal.attempt(f"{user} reads", content, "file")


def check_acl_mask(journal: Journal) -> None:
    make("file", b"masked", 0o660)
    _setfacl("-m", "u:1001:rw,m::r", "file")
    _acls(journal, "file")
    with acting_as(1001, 1001):
        journal.attempt("write under the mask", touch, "file", os.O_WRONLY)
    os.chmod("file", 0o670)  # the group bits of a file with an ACL are its mask
    _acls(journal, "file")
    with acting_as(1001, 1001):
        journal.attempt("write", touch, "file", os.O_WRONLY)


def check_acl_default_is_inherited(journal: Journal) -> None:
    os.mkdir("parent")
    _setfacl("-d", "-m", "u:1001:rwx,g:1003:rx,o::-", "parent")
    for mask in (0o000, 0o077):
        with umask(mask):
            names = [f"parent/{kind}-{mask:o}" for kind in ("file", "directory", "node", "fifo")]
            file, directory, node, fifo = names
            touch(file, os.O_WRONLY | os.O_CREAT, 0o666)
            os.mkdir(directory, 0o777)
            os.mknod(node, stat.S_IFREG | 0o640)
            os.mkfifo(fifo, 0o600)
            os.mkdir(f"{directory}/deeper")
        _acls(journal, *names, f"{directory}/deeper")
    os.symlink("nowhere", "parent/symlink")


def check_acl_default_for_users(journal: Journal) -> None:
    os.mkdir("parent")
    os.chmod("parent", 0o777)
    _setfacl("-d", "-m", "u:1001:rw", "parent")
    with acting_as(1004, 1004):
        make_private = os.open("parent/theirs", os.O_WRONLY | os.O_CREAT, 0o660)
        os.write(make_private, b"shared by inheritance")
        os.close(make_private)
    _acls(journal, "parent/theirs")
    with acting_as(1001, 1001):
        journal.attempt("named user reads", content, "parent/theirs")


def check_acl_removed(journal: Journal) -> None:
    os.mkdir("directory")
    _setfacl("-m", "u:1001:rwx", "-d", "-m", "u:1001:rwx", "directory")
    _setfacl("-b", "directory")
    _acls(journal, "directory")
    make("directory/file")
    _acls(journal, "directory/file")


def check_acl_by_a_user(journal: Journal) -> None:
    make("own")
    os.chown("own", 1001, 1001)
    make("other", mode=0o666)
    _setfacl("-m", "u:9:r", "own")
    acl = os.getxattr("own", "system.posix_acl_access")
    with acting_as(1001, 1001):
        journal.attempt("own", os.setxattr, "own", "system.posix_acl_access", acl)
        journal.attempt("another's", os.setxattr, "other", "system.posix_acl_access", acl)
        journal.attempt("a default on a file", os.setxattr, "own", "system.posix_acl_default", acl)
        journal.attempt("nonsense", os.setxattr, "own", "system.posix_acl_access", b"nonsense")
        journal.attempt("remove", os.removexattr, "own", "system.posix_acl_access")
    _acls(journal, "own")


def check_acl_and_setgid(journal: Journal) -> None:
    make("own", mode=0o755)
    os.chown("own", 1001, 5000)
    os.chmod("own", 0o2755)
    with acting_as(1001, 1001):
        # Setting an ACL is a change of mode: the setgid bit of a foreign group goes.
        journal.attempt("set", run, "setfacl", "-m", "u:9:r", "own")
    _acls(journal, "own")
