"""`python -m appliance.fuse`: it says when it is ready, ends in good order, and says what is wrong."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fuse.conftest import StartDaemon
from tests.support.daemon import REPOSITORY, command
from tests.support.filesystems import Filesystem
from tests.support.patience import SECONDS
from tests.support.posix.files import opened
from tests.support.scratch import mounted_below

pytestmark = pytest.mark.fuse

FILESYSTEMS = ("ext4",)  # the command line is the same for all


class Refusal(NamedTuple):
    """How a daemon ended that did not start."""

    status: int
    said: str


_EX_USAGE = 2  # argparse's
_EX_NOINPUT = 66
_EX_OSERR = 71
_EX_NOPERM = 77


def _refused(source: Path | str, mountpoint: Path | str, *options: str, wrapper: tuple[str, ...] = ()) -> Refusal:
    """Start a daemon that must not start; return its exit status and what it said."""
    words = [*wrapper, *command(Path(source), Path(mountpoint), *options)]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)  # either READY or the end
        process.terminate()
        said, complaint = process.communicate(timeout=SECONDS)
    assert ready
    assert "READY" not in said
    assert "Traceback" not in complaint
    return Refusal(process.returncode, complaint)


@pytest.fixture
def mountpoint(work: Path) -> Iterator[Path]:
    path = work / "refused"
    path.mkdir()
    yield path
    assert mounted_below(path) == []
    path.rmdir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_unmounts_and_ends_it(number: signal.Signals, start: StartDaemon) -> None:
    with start() as daemon:
        (daemon.mountpoint / "before").touch()
        assert daemon.mountpoint in mounted_below(daemon.mountpoint)
        assert daemon.stop(number) == 0
        assert mounted_below(daemon.mountpoint) == []
        daemon.log.check()


def test_signal_ends_it_though_the_mount_is_in_use(start: StartDaemon) -> None:
    with start() as daemon:
        (daemon.mountpoint / "held").write_bytes(b"held")
        with opened(bytes(daemon.mountpoint / "held"), os.O_RDONLY) as file:
            assert daemon.stop() == 0
            assert mounted_below(daemon.mountpoint) == []
            with pytest.raises(OSError, match=r"not connected|aborted"):
                os.fsync(file)


def test_it_ends_when_somebody_else_unmounts(start: StartDaemon) -> None:
    with start() as daemon, daemon.log.announced("the mount is gone"):
        subprocess.run(["umount", daemon.mountpoint], check=True)
        assert daemon.process.wait(SECONDS) == 0
    with start() as daemon:
        assert daemon.running


def test_ready_means_that_it_answers(start: StartDaemon) -> None:
    for _ in range(5):
        with start() as daemon:
            assert os.path.ismount(daemon.mountpoint)
            assert os.statvfs(daemon.mountpoint).f_namemax == 255


def test_number_of_workers_is_as_told(disk: Filesystem, start: StartDaemon) -> None:
    with start() as daemon:
        assert len(daemon.full_pool()) == daemon.size == 2
        assert daemon.pool not in daemon.workers


def test_missing_source_is_refused(mountpoint: Path, work: Path) -> None:
    status, said = _refused(work / "no-such-directory", mountpoint)
    assert status == _EX_NOINPUT
    assert "no-such-directory" in said


def test_source_that_is_a_file_is_refused(mountpoint: Path, work: Path) -> None:
    file = work / "just-a-file"
    file.touch()
    status, said = _refused(file, mountpoint)
    assert status == _EX_NOINPUT
    assert "just-a-file" in said
    assert "directory" in said


def test_source_without_handles_is_refused(mountpoint: Path) -> None:
    status, said = _refused("/proc", mountpoint)
    assert status == _EX_NOINPUT
    assert "/proc" in said
    assert "handle" in said


def test_source_that_needs_a_table_is_refused_without_a_place_for_it(mountpoint: Path, work: Path) -> None:
    with _tmpfs(work / "command-line.tmpfs") as source:
        status, said = _refused(source, mountpoint)
    assert status == _EX_NOINPUT
    assert "--state" in said, "the step that mends it"


def test_the_filesystem_of_a_container_is_refused_and_a_way_out_told(mountpoint: Path, work: Path) -> None:
    """Docker's overlayfs has no nfs_export, and thus gives no handles."""
    with _tmpfs(work / "command-line.layers") as layers:
        for name in ("lower", "upper", "work", "merged"):
            (layers / name).mkdir()
        options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", layers / "merged"], check=True)
        try:
            status, said = _refused(layers / "merged", mountpoint)
        finally:
            subprocess.run(["umount", layers / "merged"], check=True)
    assert status == _EX_NOINPUT
    assert "gives no file handles" in said
    assert "overlayfs without nfs_export" in said
    assert "bind-mount a directory of ext4, xfs or btrfs from the host" in said, "the step that mends it"


def test_a_source_that_became_another_filesystem_is_refused(disk: Filesystem, mountpoint: Path, work: Path) -> None:
    source, state = disk.source / "replaced", work / "command-line.state"
    source.mkdir()
    options = ("--state", str(state))
    assert _served(source, mountpoint, *options)
    with _tmpfs(source):
        status, said = _refused(source, mountpoint, *options)
    assert status == _EX_NOINPUT
    assert "was ino32 and is now table" in said
    assert "mount there what the share was made for" in said, "the step that mends it"
    assert _served(source, mountpoint, *options), "it is back"


def _served(source: Path, mountpoint: Path, *options: str) -> bool:
    """Start a daemon and stop it; tell whether it came to serve."""
    with subprocess.Popen(command(source, mountpoint, *options), cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.terminate()
    return said == b"READY\n" and process.returncode == 0


@contextmanager
def _tmpfs(path: Path) -> Iterator[Path]:
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def test_missing_mountpoint_is_refused(disk: Filesystem, work: Path) -> None:
    status, said = _refused(disk.source, work / "no-such-mountpoint")
    assert status == _EX_OSERR
    assert "no-such-mountpoint" in said
    assert "mkdir" in said, "the step that mends it"


def test_mountpoint_that_is_taken_is_refused(disk: Filesystem, start: StartDaemon) -> None:
    with start() as daemon:
        (daemon.mountpoint / "first").touch()
        status, said = _refused(disk.source, daemon.mountpoint)
        assert status == _EX_OSERR
        assert str(daemon.mountpoint) in said
        assert (daemon.mountpoint / "first").exists(), "the first daemon serves on"
        assert len(mounted_below(daemon.mountpoint)) == 1


@pytest.mark.parametrize("capability", ["sys_admin", "dac_read_search"])
def test_missing_capability_is_named(capability: str, disk: Filesystem, mountpoint: Path) -> None:
    without = ("setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}", "--")
    status, said = _refused(disk.source, mountpoint, wrapper=without)
    assert status == _EX_NOPERM
    assert f"CAP_{capability.upper()}" in said


@pytest.mark.parametrize("workers", ["0", "-1", "many", "100000"])
def test_bad_number_of_workers_is_refused(workers: str, disk: Filesystem, mountpoint: Path) -> None:
    status, said = _refused(disk.source, mountpoint, f"--workers={workers}")
    assert status == _EX_USAGE
    assert "--workers" in said
