"""File times: set to the nanosecond, and moved by what is done to the file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from appliance.linux import files
from tests.support.children import acting_as
from tests.support.posix.files import make, opened
from tests.support.posix.journal import Journal, Name


def _times(name: Name) -> tuple[int, int]:
    found = os.lstat(name)
    return found.st_atime_ns, found.st_mtime_ns


def check_utimens(journal: Journal) -> None:
    make("file")
    os.mkdir("directory")
    os.symlink("file", "link")
    for name in ("file", "directory", "link"):
        stamp = (1_234_567_890_123_456_789, 1_111_111_111_999_999_999)
        journal.attempt(name, os.utime, name, ns=stamp, follow_symlinks=False)
        journal.value(f"times of {name}", _times, name)


def check_utimens_far_away(journal: Journal) -> None:
    make("file")
    for label, seconds in (("1960", -315_619_200), ("1970", 0), ("2040", 2_208_988_800), ("2300", 10_413_792_000)):
        journal.attempt(label, os.utime, "file", ns=(seconds * 10**9 + 7, seconds * 10**9 + 999_999_999))
        journal.value(f"times {label}", _times, "file")


def check_utimens_beyond_what_the_filesystem_keeps(journal: Journal) -> None:
    make("file")
    os.utime("file", ns=(1 << 62, 1 << 62))  # the year 2116
    journal.value("2116", _times, "file")
    os.utime("file", (1 << 36, 1 << 36))  # the year 4147, which ext4 cannot hold
    journal.value("4147", _times, "file")


def check_utimens_now(journal: Journal) -> None:
    make("file")
    os.utime("file", ns=(5, 5))
    before = time.time_ns()
    journal.attempt("now", os.utime, "file")
    accessed, modified = _times("file")
    # The kernel stamps files with a coarser clock than this, and small inodes of ext4 keep whole seconds only.
    journal.note("is now", all(-1_050_000_000 < stamp - before < 10**10 for stamp in (accessed, modified)))
    journal.note("both alike", abs(accessed - modified) < 10_000_000)


def check_utimens_omit(journal: Journal) -> None:
    make("file")
    os.utime("file", ns=(1001, 2002))
    with opened("file", os.O_PATH) as file:
        journal.attempt("mtime only", files.set_times, file, None, 3003)
        journal.value("atime kept", _times, "file")
        journal.attempt("atime only", files.set_times, file, 4004, None)
        journal.value("mtime kept", _times, "file")
        changed = os.stat("file").st_ctime_ns
        journal.attempt("neither", files.set_times, file, None, None)
        journal.note("ctime kept", os.stat("file").st_ctime_ns == changed)


def check_utimens_by_a_user(journal: Journal) -> None:
    for name, mode in (("closed", 0o600), ("writable", 0o666), ("own", 0o400)):
        make(name, mode=mode)
    os.chown("own", 1001, 1002)
    with acting_as(1001, 1002):
        for name in ("closed", "writable", "own"):
            journal.attempt(f"{name} now", os.utime, name)
            journal.attempt(f"{name} to a time", os.utime, name, ns=(1, 1))


def _moved(journal: Journal, label: str, name: str, before: os.stat_result) -> None:
    after = os.lstat(name)
    journal.note(
        label,
        {
            "mtime": after.st_mtime_ns > before.st_mtime_ns,
            "ctime": after.st_ctime_ns > before.st_ctime_ns,
        },
    )


_REALTIME_COARSE = 5  # CLOCK_REALTIME_COARSE of <linux/time.h>, the clock of most time stamps


def _aged(name: str) -> os.stat_result:
    os.utime(name, (1, 1), follow_symlinks=False)
    found = os.lstat(name)
    # Past the tick of the kernel's clock, so that ctime can be seen to move.
    while time.clock_gettime_ns(_REALTIME_COARSE) <= found.st_ctime_ns:
        time.sleep(0.001)
    return found


def check_times_of_a_file(journal: Journal) -> None:
    make("file", b"content")
    with opened("file", os.O_RDWR) as file:
        before = _aged("file")
        os.pread(file, 10, 0)
        _moved(journal, "read", "file", before)
        os.write(file, b"x")
        _moved(journal, "write", "file", before)
        before = _aged("file")
        os.fchmod(file, 0o600)
        _moved(journal, "chmod", "file", before)
        before = _aged("file")
        os.fchown(file, 1001, 1002)
        _moved(journal, "chown", "file", before)
    before = _aged("file")
    os.link("file", "second")
    _moved(journal, "link", "file", before)
    before = _aged("file")
    os.rename("second", "third")
    _moved(journal, "rename", "third", before)
    before = _aged("third")
    os.unlink("file")
    _moved(journal, "unlink of another name", "third", before)
    before = _aged("third")
    os.setxattr("third", "user.a", b"b")
    _moved(journal, "setxattr", "third", before)


def check_times_of_a_directory(journal: Journal) -> None:
    os.mkdir("directory")
    os.mkdir("other")
    make("file")
    acts: dict[str, Callable[[], object]] = {
        "create": lambda: make("directory/new"),
        "link": lambda: os.link("file", "directory/link"),
        "rename in": lambda: os.rename("file", "directory/file"),
        "rename inside": lambda: os.rename("directory/file", "directory/renamed"),
        "rename out": lambda: os.rename("directory/renamed", "other/renamed"),
        "unlink": lambda: os.unlink("directory/new"),
        "mkdir": lambda: os.mkdir("directory/child"),
        "rmdir": lambda: os.rmdir("directory/child"),
        "list": lambda: os.listdir("directory"),
        "change a file": lambda: os.truncate("directory/link", 5),
    }
    for label, call in acts.items():
        before = _aged("directory")
        call()
        _moved(journal, label, "directory", before)
