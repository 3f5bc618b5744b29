"""A check of a healthy share: what is the same, what has moved, what is gone, and how samples are taken."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.filesystems import KINDS, Filesystem
from tests.support.posix.files import make, opened
from tests.support.views import checked, sampled, told, viewed, walked
from tests.support.witness import drop_caches

pytestmark = pytest.mark.fuse

FILESYSTEMS = KINDS


def _populate(top: Path) -> None:
    top.mkdir()
    for directory in range(10):
        (top / f"d{directory}" / "below").mkdir(parents=True)
        for number in range(20):
            make(bytes(top / f"d{directory}" / f"f{number}"), b"x" * number)
        os.symlink("anywhere", top / f"d{directory}" / "symlink")
        os.link(top / f"d{directory}" / "f1", top / f"d{directory}" / "below" / "linked")


def test_samples_are_of_all_kinds_and_all_green(disk: Filesystem, own_daemon: Daemon) -> None:
    _populate(disk.source / "checks-all")
    samples = walked(own_daemon, 150)
    assert 80 <= len({sample.path for sample in samples}) == len(samples) <= 150
    assert samples[0].path == b""
    assert {sample.type for sample in samples} >= {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
    assert any(os.stat(disk.source / os.fsdecode(each.path), follow_symlinks=False).st_nlink > 1 for each in samples)
    own_daemon.kill_pool()
    drop_caches()
    assert set(told(checked(own_daemon, samples)).values()) == {"same"}


def test_what_happens_to_files_is_told_apart(disk: Filesystem, own_daemon: Daemon) -> None:
    top = Path("checks-fate")
    _populate(disk.source / top)
    names = {name: top / "d0" / name for name in ("f1", "f2", "f3", "f4", "f5", "symlink")} | {"directory": top / "d1"}
    samples = sampled(own_daemon, [Path(), *names.values()])
    os.rename(disk.source / names["f2"], disk.source / top / "d2" / "renamed-behind")
    os.rename(own_daemon.mountpoint / names["f3"], own_daemon.mountpoint / top / "d2" / "renamed-before")
    os.unlink(own_daemon.mountpoint / names["f4"])
    os.rename(disk.source / names["directory"], disk.source / top / "moved")
    with opened(bytes(own_daemon.mountpoint / names["f5"]), os.O_RDONLY):
        os.unlink(own_daemon.mountpoint / names["f5"])
        findings = checked(own_daemon, samples)
    assert told(findings) == {
        "": "same",
        str(names["f1"]): "same",
        str(names["symlink"]): "same",
        str(names["f2"]): "moved",
        str(names["f3"]): "moved",
        str(names["f4"]): "deleted",
        str(names["f5"]): "deleted",
        str(names["directory"]): "moved",
    }
    places = {os.fsdecode(one.sample.path): one.path for one in findings if one.path}
    assert places[str(names["directory"])] == bytes(top / "moved")
    drop_caches()
    gone = [one.sample for one in findings if one.verdict.outcome == "deleted"]
    assert set(told(checked(own_daemon, gone)).values()) == {"deleted"}






def test_directory_that_left_the_share_is_as_good_as_deleted(disk: Filesystem, own_daemon: Daemon) -> None:
    _populate(disk.source / "checks-left")
    samples = sampled(own_daemon, [Path("checks-left/d1"), Path("checks-left/d2")])
    if disk.kind == "btrfs-subvolume":
        with pytest.raises(OSError, match="cross-device"):  # nothing can leave a subvolume
            os.rename(disk.source / "checks-left/d1", disk.root / "data/outside")
        return
    os.rename(disk.source / "checks-left/d1", disk.root / "data/outside")
    drop_caches()
    found = checked(own_daemon, samples)
    assert told(found) == {"checks-left/d1": "deleted", "checks-left/d2": "same"}
    assert "moved out" in found[0].verdict.reason
    os.rename(disk.root / "data/outside", disk.source / "checks-left/d1")


def test_clients_do_not_see_the_testimony(disk: Filesystem, shared_daemon: Daemon) -> None:
    make(bytes(disk.source / "checks-hidden"))
    path = shared_daemon.mountpoint / "checks-hidden"
    assert b"testimony" not in b"".join(os.fsencode(name) for name in os.listxattr(path))
    with viewed(shared_daemon) as view:
        handle = view.handle_at(b"checks-hidden")
        assert handle is not None
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            os.getxattr(path, "trusted.holdfast.testimony")
        except OSError as error:
            os._exit(error.errno or 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 61  # ENODATA
