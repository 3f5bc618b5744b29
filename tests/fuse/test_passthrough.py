"""The kernel reads and writes files itself; whoever of the daemon dies, what is open stays so and no id is lost."""

from __future__ import annotations

import mmap
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import newer_libfuse
from tests.support.children import Child, acting_as
from tests.support.daemon import PYTHON, Daemon, daemon
from tests.support.filesystems import Filesystem
from tests.support.janitor import Janitor
from tests.support.killing import killed_at, only_worker, replaced
from tests.support.posix.files import content, opened
from tests.support.processes import kill
from tests.support.registry import Registry, registry
from tests.support.tiers import vm_obstacle

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(900)]  # the image may have to be built first
FILESYSTEMS = ("ext4", "xfs", "btrfs", "tmpfs", "overlay")

_SETTLE_SECONDS = 120
_BLOCK = random.Random(6).randbytes(1 << 16)


@pytest.fixture(scope="session")
def python(request: pytest.FixtureRequest, work: Path) -> str:
    """A Python whose libfuse is new enough: the image's, unless the command line names one."""
    if request.config.getoption("--daemon-python"):
        return PYTHON[0]
    if reason := vm_obstacle():
        pytest.skip(reason)
    directory = work / "newer-libfuse"
    directory.mkdir()
    return str(newer_libfuse.install(directory))


@pytest.fixture
def served(disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path, python: str) -> Iterator[Daemon]:
    """A daemon whose kernel reads and writes."""
    with daemon(disk.source, work / f"{disk.kind}.direct", tmp_path / "log", watch, python=python) as running:
        yield running


@pytest.fixture
def opens(served: Daemon) -> Iterator[Registry]:
    """The daemon's registry of open files, and at the end none may be left."""
    with registry(served) as found:
        yield found
        _await(found.all_closed, "files stay open")
        assert (found.made > 0, found.files.refusal) == (True, 0)
        assert found.ids_of_the_kernel(found.made + 100) == []


def _await(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)


def _busy_workers(opens: Registry) -> list[int]:
    """Return workers that have served something; waits for the first."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not (found := opens.busy_workers()):
        assert time.monotonic() < deadline, "no worker serves"
        time.sleep(0.002)
    return found


def test_no_worker_reads_or_writes(served: Daemon, opens: Registry, disk: Filesystem) -> None:
    path = served.mountpoint / "data"
    with opened(bytes(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
        for number in range(200):
            os.pwrite(file, _BLOCK, number << 16)
        assert b"".join(os.pread(file, 1 << 16, number << 16) for number in range(200)) == _BLOCK * 200
        with mmap.mmap(file, 0) as mapped:
            mapped[5 << 16 : 6 << 16] = bytes(1 << 16)
        asked = opens.operations()
        assert asked["open"] + asked["create"] == 1
        assert (asked["read"], asked["write"]) == (0, 0)
        assert (len(opens.files), opens.files.ids) == (1, 1)
    assert content(bytes(disk.source / "data")) == _BLOCK * 5 + bytes(1 << 16) + _BLOCK * 194


def test_sizes_and_times_are_those_of_the_source(served: Daemon, opens: Registry, disk: Filesystem) -> None:
    path, behind = bytes(served.mountpoint / "times"), bytes(disk.source / "times")
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file, opened(path, os.O_RDONLY) as reader:
        for number in range(1, 20):
            os.write(file, b"x" * number)
            seen, there = os.stat(path), os.stat(behind)
            assert (seen.st_size, seen.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
        os.truncate(path, 3)
        assert (os.fstat(reader).st_size, os.read(reader, 100)) == (3, b"xxx")
        with opened(path, os.O_WRONLY | os.O_APPEND) as appending:
            os.write(appending, b"end")
        assert os.pread(reader, 100, 0) == b"xxxend"
        os.unlink(path)
        os.write(file, b"!")
        assert os.fstat(reader).st_nlink == 0
        assert len(os.pread(reader, 1000, 0)) == os.fstat(reader).st_size
        assert opens.files.ids == 1


@pytest.mark.kinds("ext4", "xfs")
def test_setuid_that_the_kernel_has_not_heard_of_goes_with_a_write(
    disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path, python: str
) -> None:
    """It remembers for an hour that the file runs as nobody else; a local process changes that behind the mount."""
    hour = ("--timeout", "3600")
    with daemon(disk.source, work / f"{disk.kind}.hour", tmp_path / "log", watch, *hour, python=python) as running:
        path, behind = running.mountpoint / "program", running.source / "program"
        path.touch()
        path.chmod(0o777)
        with opened(bytes(path), os.O_WRONLY) as file:
            with acting_as(1001, 1001):
                os.write(file, b"first")
            behind.chmod(0o4777)
            with acting_as(1001, 1001):
                os.write(file, b"second")
        assert (behind.stat().st_mode & 0o7777, behind.read_bytes()) == (0o777, b"firstsecond")


def test_open_files_outlive_everybody(served: Daemon, opens: Registry) -> None:
    path = bytes(served.mountpoint / "held")
    with opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
        for number, end in enumerate((served.kill_workers, served.kill_pool) * 3):
            end()
            os.pwrite(file, b"%d" % number, number)
            with opened(path, os.O_RDONLY) as another:  # EIO, if it had another id
                assert os.pread(another, 100, 0) == b"012345"[: number + 1]
        _await(lambda: (len(opens.files), opens.files.ids) == (1, 1), "the others stay open")
        served.full_pool()


# To answer, to make and close an id, to lock and unlock.
_STEPS = (*((call, others, ()) for call in ("writev", "ioctl", "fcntl") for others in (0, 1)),
          *((call, 1, ("--no-passthrough",)) for call in ("writev", "fcntl")))  # fmt: skip


@pytest.mark.kinds("ext4")
@pytest.mark.parametrize(("call", "others", "options"), _STEPS)
def test_a_worker_killed_at_any_step_of_open_and_close(
    call: str, others: int, options: Sequence[str], disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path,
    python: str,
) -> None:  # fmt: skip
    """Whatever it had begun is done once: the open file of somebody else stays as it is, and no id is left."""
    lone = daemon(disk.source, work / "lone", tmp_path / "log", watch, *options, workers=1, python=python)
    with lone as running, registry(running) as found, ExitStack() as stack:
        path = running.mountpoint / f"{call}-{others}-{len(options)}"
        path.write_bytes(b"here")
        for _ in range(others):
            stack.enter_context(path.open("rb"))
        for number in range(1, 30):
            _await(lambda: len(found.files) == others, "a file stays open")
            pid = only_worker(running)
            with killed_at([pid], {call: number}):
                assert path.read_bytes() == b"here"
                _await(lambda: (len(found.files), found.files.left) == (others, 0), f"killed at the {number}. {call}")
                killed = replaced(running, pid)
            assert path.read_bytes() == b"here"  # EIO, if the id of the open file were another
            if not killed:
                break
        else:
            pytest.fail("the worker was killed however late")
        assert number > 1 or (call == "ioctl" and others), "nobody was killed"  # the id is there already, and stays
        stack.close()
        _await(found.all_closed, "a file stays open")
        assert found.files.refusal == 0, "a worker could not make an id"
        assert found.ids_of_the_kernel(found.made + 100) == []


@pytest.mark.timeout(3600)
@pytest.mark.kinds("ext4")
def test_no_id_is_lost_when_workers_are_killed(
    served: Daemon, opens: Registry, request: pytest.FixtureRequest
) -> None:
    """Files are opened and closed without a pause, while workers are killed; nobody sees an error."""
    top = served.mountpoint / "storm"
    top.mkdir()
    dice = random.Random(14)
    kills = request.config.getoption("--kills")

    def load(number: int) -> Callable[[], int]:
        def work() -> int:
            mine, done, held = random.Random(number), 0, list[int]()
            # Few names, so that the loads open each other's files.
            while not (top / "stop").exists():
                name = top / f"file-{mine.randrange(6)}"
                flags = mine.choice((os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_TRUNC))
                held.append(os.open(name, flags | os.O_CREAT, 0o644))
                if flags & os.O_ACCMODE == os.O_RDWR:
                    os.pwrite(held[-1], b"data", mine.randrange(100))
                os.pread(mine.choice(held), 100, 0)
                while len(held) > mine.randrange(8):
                    os.close(held.pop(mine.randrange(len(held))))
                if not mine.randrange(20):
                    os.unlink(name) if number == 0 else None
                done += 1
            return done

        return work

    with Child(load(0)) as one, Child(load(1)) as two, Child(load(2)) as three:
        for _ in range(kills):
            kill(dice.choice(_busy_workers(opens)))
            time.sleep(dice.random() * 0.02)
            assert not any(child.ended for child in (one, two, three)), [c.result() for c in (one, two, three)]
        (top / "stop").touch()
        total = sum(int(str(child.result())) for child in (one, two, three))
    served.full_pool()
    said = f"{total:,} opens and closes, {kills} kills, {opens.made:,} ids made"
    request.node.user_properties.append(("opens", said))
    assert total > 0


@pytest.mark.kinds("ext4")
def test_switched_off_workers_read_and_write_and_open_files_are_counted(
    disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path, python: str
) -> None:
    options = ("--no-passthrough",)
    with (
        daemon(disk.source, work / "off", tmp_path / "log", watch, *options, python=python) as running,
        registry(running) as found,
        opened(bytes(running.mountpoint / "off"), os.O_RDWR | os.O_CREAT) as file,
    ):
        for number in range(50):
            os.pwrite(file, b"x", number)
        assert found.operations()["write"] == 50
        assert (len(found.files), found.made) == (1, 0)
        for end in (running.kill_workers, running.kill_pool) * 2:
            end()
            with opened(bytes(running.mountpoint / "off"), os.O_RDONLY) as another:
                assert (os.pread(another, 100, 0), len(found.files)) == (b"x" * 50, 2)
            _await(lambda: len(found.files) == 1, "what was closed is counted")
        running.full_pool()
