"""Deaths at other moments than before a reply: in the middle of a recovery, at the start, and several in a row."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.children import Child, in_child
from tests.support.daemon import Daemon, daemon
from tests.support.faulty_pool import MARKERS, PATIENCE
from tests.support.filesystems import ONE_PER_CODEC, Filesystem
from tests.support.janitor import Janitor
from tests.support.killing import killed_at, killed_at_reply, only_worker
from tests.support.patience import SECONDS, until
from tests.support.processes import alive, kill
from tests.support.registry import registry

pytestmark = pytest.mark.fuse

FILESYSTEMS = ONE_PER_CODEC  # recovery knows inodes by their node ids alone

# What a pool process calls while it recovers, in about this order: it reaps, drains, has the requests sent again, reads
# them, forks, and tells.
_RECOVERY = [
    *[("wait4", 1), ("pidfd_send_signal", 1), ("pidfd_send_signal", 2), ("wait4", 2), ("write", 1), ("ioctl", 1)],
    *[("readv", 1), ("readv", 2), ("ioctl", 2), ("write", 2), ("clone", 1), ("pidfd_open", 1), ("clone", 2)],
    *[("pidfd_open", 2), ("sendto", 1), ("sendto", 2)],
]
_DEGRADED = "workers end as soon as they are started"


@pytest.fixture
def markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which faulty workers count their deaths."""
    path = tmp_path / "markers"
    path.mkdir()
    monkeypatch.setenv(MARKERS, str(path))
    return path


@pytest.fixture
def faulty(disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path, markers: Path) -> Iterator[Daemon]:
    """A daemon whose workers die where they are told to."""
    options = ("--pool-module", "tests.support.faulty_pool")
    with daemon(disk.source, work / f"{disk.kind}.faulty", tmp_path / "daemon.log", watch, *options) as running:
        yield running


@pytest.fixture
def lone_worker(disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with one worker, so that it is known who gets the next request."""
    with daemon(disk.source, work / f"{disk.kind}.elsewhere", tmp_path / "daemon.log", watch, workers=1) as running:
        yield running


def test_the_pool_process_may_be_killed_at_any_call_of_a_recovery(faulty: Daemon, markers: Path) -> None:
    for call, number in _RECOVERY:
        made = faulty.mountpoint / f"{call}-{number}.die-after.1.{call}{number}"
        pool = faulty.pool
        faulty.full_pool()
        with killed_at([pool], {call: number}) as strace, Child(partial(os.mkdir, made)) as client:
            strace.wait(SECONDS)  # it ends with the pool process
            client.result()
        in_child(partial(os.rmdir, made))
        assert faulty.pool != pool
        assert (markers / f"{call}{number}").read_bytes() == b".", "the worker died once"


def test_workers_that_die_while_they_attach_cost_nobody_anything(lone_worker: Daemon) -> None:
    made = lone_worker.mountpoint / "attaching"
    worker, pool = only_worker(lone_worker), lone_worker.pool
    with lone_worker.log.announced(_DEGRADED):
        with killed_at([worker], {"writev": 2}), killed_at([pool], {"capset": 1}, "-f"):
            client = Child(partial(os.mkdir, made))
            _await_degraded(lone_worker, times=2)  # after five deaths
            assert not client.ended
        client.result()
        lone_worker.full_pool()
    in_child(partial(os.rmdir, made))


def _await_degraded(running: Daemon, times: int) -> None:
    until(lambda: running.log.path.read_text().count(f"holdfast: {_DEGRADED}") >= times, "the workers did not die")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_that_is_waited_for_in_a_drain_may_be_killed(
    faulty: Daemon, markers: Path, moment: str
) -> None:
    """It is killed before or after it did what it was asked for; a drain that did not see it would wait for ever."""
    (markers / PATIENCE).touch()
    (markers / "one").touch()
    made = faulty.mountpoint / "x.hang.one"
    with registry(faulty) as board, Child(partial(os.mkdir, made)) as client:
        until((markers / "one.reached").exists, "nobody was asked")
        at_work = int((markers / "one.reached").read_text())
        (other,) = {*faulty.workers} - {at_work}
        kill(other)
        until(board.draining, "nobody drains")
        if moment == "before":
            kill(at_work)
            (markers / "one").unlink()
        else:
            with killed_at_reply(1, at_work):
                (markers / "one").unlink()
                until(lambda: not alive(at_work), "it was not killed")
        client.result()
        until(lambda: not board.draining(), "somebody drains still")
    in_child(partial(os.rmdir, made))


def test_what_is_an_error_stays_one(faulty: Daemon, markers: Path) -> None:
    """A directory that was there before is not taken for the one that the dead worker made.

    It comes into being when the kernel has looked already, so that it is a worker that finds it.
    """
    (markers / "late").touch()
    name = "x.hang.late"
    with Child(partial(_fails, errno.EEXIST, partial(os.mkdir, faulty.mountpoint / name))) as client:
        until((markers / "late.reached").exists, "nobody was asked")
        at_work = int((markers / "late.reached").read_text())
        (faulty.source / name).mkdir()
        with killed_at_reply(1, at_work):
            (markers / "late").unlink()
            until(lambda: not alive(at_work), "it was not killed")
        client.result()


@pytest.mark.parametrize("moment", ["die-before", "die-after"])
def test_two_deaths_in_a_row_at_one_request(faulty: Daemon, markers: Path, moment: str) -> None:
    for verb, change in _changes(faulty, f"{moment}.2").items():
        in_child(change)
        assert (markers / verb).read_bytes() == b".."


@pytest.mark.parametrize("moment", ["die-before", "die-after"])
def test_a_request_that_kills_every_worker_is_refused_and_the_rest_goes_on(
    faulty: Daemon, markers: Path, moment: str
) -> None:
    work = [partial(_work_until, markers / "done", faulty.mountpoint / f"{moment}-{number}") for number in (1, 2)]
    others = [Child(each) for each in work]
    for verb, change in _changes(faulty, moment).items():
        said = rf"^holdfast: {verb} of node 0x[0-9a-f]+ was answered with EIO: 3 workers died at it$"
        before = len(faulty.log.path.read_text().splitlines())
        with faulty.log.announced(said):
            in_child(partial(_fails, errno.EIO, change))
            assert (markers / verb).read_bytes() == b"..."
            in_child(partial(os.statvfs, faulty.mountpoint))
            _await_lines(faulty, before + 1)
    (markers / "done").touch()
    for other in others:
        rounds = other.result()
        assert isinstance(rounds, int)
        assert rounds > 10


def _await_lines(running: Daemon, count: int) -> None:
    until(lambda: len(running.log.path.read_text().splitlines()) >= count, "it was not said")


def _changes(running: Daemon, order: str) -> dict[str, Callable[[], None]]:
    """Return a change of each kind, by operation, whose name gives the workers this order."""
    top = running.mountpoint / order
    behind = running.source / order
    behind.mkdir()

    def name(verb: str) -> str:
        return f"x.{order}.{verb}"

    for verb in ("unlink", "rename", "plain"):
        (behind / name(verb)).touch()
    (behind / name("rmdir")).mkdir()
    os.setxattr(behind / name("plain"), f"user.{name('removexattr')}", b"")

    def create() -> None:
        os.close(os.open(top / name("create"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    plain = top / name("plain")
    return {
        "mknod": partial(os.mknod, top / name("mknod")),
        "mkdir": partial(os.mkdir, top / name("mkdir")),
        "create": create,
        "symlink": partial(os.symlink, "target", top / name("symlink")),
        "link": partial(os.link, plain, top / name("link")),
        "unlink": partial(os.unlink, top / name("unlink")),
        "rmdir": partial(os.rmdir, top / name("rmdir")),
        "rename": partial(os.rename, top / name("rename"), top / "renamed"),
        "setxattr": partial(os.setxattr, plain, f"user.{name('setxattr')}", b"", os.XATTR_CREATE),
        "removexattr": partial(os.removexattr, plain, f"user.{name('removexattr')}"),
    }


def _fails(expected: int, change: Callable[[], None]) -> None:
    with pytest.raises(OSError, match=os.strerror(expected)) as caught:
        change()
    assert caught.value.errno == expected


def _work_until(done: Path, path: Path) -> int:
    """Do harmless work in a directory of its own until a file comes into being; return how often."""
    rounds = 0
    path.mkdir()
    while not done.exists():
        (path / str(rounds)).write_bytes(b"data")
        assert (path / str(rounds)).read_bytes() == b"data"
        (path / str(rounds)).unlink()
        rounds += 1
    return rounds
