"""The bits that make a program run as somebody else go when its content or owner changes."""

from __future__ import annotations

import os

from tests.support.children import acting_as
from tests.support.posix.files import make, opened, touch
from tests.support.posix.journal import Journal

_MODES = (0o6777, 0o4777, 0o2777, 0o4766)
_NOT_EXECUTABLE = (0o2767, 0o6666)  # setgid without execution by the group gives nobody anything


def _programs(prefix: str, modes: tuple[int, ...] = _MODES) -> list[str]:
    names = []
    for mode in modes:
        name = f"{prefix}-{mode:o}"
        make(name, b"program")
        os.chown(name, 5000, 5000)
        os.chmod(name, mode)
        names.append(name)
    return names


def _write(name: str) -> None:
    with opened(name, os.O_WRONLY) as file:
        os.write(file, b"x")


def check_setid_survives_reading(journal: Journal) -> None:
    for name in _programs("read"):
        with acting_as(1001, 1002):
            touch(name, os.O_RDWR)
        journal.stat(name, name)


def check_setid_cleared_by_write(journal: Journal) -> None:
    for name in _programs("user"):
        with acting_as(1001, 1002):
            journal.attempt(f"write {name}", _write, name)
        journal.stat(name, name)


def check_setgid_without_execution_cleared(journal: Journal) -> None:
    for name in _programs("write", _NOT_EXECUTABLE):
        with acting_as(1001, 1002):
            journal.attempt(f"write {name}", _write, name)


def check_setid_kept_for_root(journal: Journal) -> None:
    for name in _programs("root"):
        journal.attempt(f"write {name}", _write, name)
        journal.stat(name, name)


def check_setid_cleared_by_truncate(journal: Journal) -> None:
    for name in _programs("truncate"):
        with acting_as(1001, 1002):
            journal.attempt(f"truncate {name}", os.truncate, name, 3)
        journal.stat(name, name)
    for name in _programs("o_trunc"):
        with acting_as(1001, 1002):
            journal.attempt(f"open {name}", touch, name, os.O_WRONLY | os.O_TRUNC)
        journal.stat(name, name)
    for name in _programs("root"):
        journal.attempt(f"as root {name}", os.truncate, name, 3)
        journal.stat(name, name)


def check_setid_cleared_by_chown(journal: Journal) -> None:
    for name in _programs("chown"):
        journal.attempt(f"chown {name}", os.chown, name, 6000, 6000)
        journal.stat(name, name)
    for name in _programs("same"):
        journal.attempt(f"to the same {name}", os.chown, name, 5000, 5000)
        journal.stat(name, name)
    for name in _programs("user"):
        with acting_as(5000, 5000, 1002):
            journal.attempt(f"by its owner {name}", os.chown, name, -1, 1002)
        journal.stat(name, name)
    os.mkdir("directory")
    os.chmod("directory", 0o6777)
    os.chown("directory", 6000, 6000)
    journal.stat("a directory keeps them", "directory")


def check_capabilities_cleared_by_write(journal: Journal) -> None:
    for label, user in (("root", 0), ("user", 1001)):
        make(label, b"program", 0o777)
        # struct vfs_cap_data, revision 2: cap_net_bind_service permitted and effective
        os.setxattr(label, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
        journal.value(f"{label} before", os.listxattr, label)
        with acting_as(user, user):
            _write(label)
        journal.value(f"{label} after", os.listxattr, label)
