"""Storage that does not answer: the share goes on with other workers, and nothing is done twice when it comes back.

A frozen filesystem is the real thing: whoever writes waits in state D and cannot be killed, while reading goes on.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.children import Child, in_child
from tests.support.commands import run
from tests.support.daemon import Daemon, daemon
from tests.support.faulty_pool import MARKERS
from tests.support.filesystems import Filesystem, check_ext4, filesystem
from tests.support.janitor import Janitor
from tests.support.patience import until
from tests.support.processes import alive, kill, state

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(1200)]

_WORKERS = 2
_LIMIT = 6
_PLACES = [f"place-{number}" for number in range(_LIMIT + 2)]
_LONGEST_FROST = 900.0  # seconds
_SLOW = r"storage slow: \w+ of node 0x[0-9a-f]+ for \d+ s; \d of \d workers wait"
_FINE = "storage answers again"


@pytest.fixture
def storage(work: Path) -> Iterator[Filesystem]:
    """A filesystem that may be frozen; it is whole at the end."""
    place = work / "slow"
    place.mkdir()
    with filesystem("ext4", place) as made:
        (made.source / "file").write_bytes(b"content")
        for name in _PLACES:  # a directory's lock is held while it is changed, by the kernel as on any filesystem
            (made.source / name).mkdir()
        yield made
    check_ext4(made.image)
    made.image.unlink()
    made.root.rmdir()
    for left in sorted(place.rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() else left.unlink()
    place.rmdir()


@pytest.fixture
def share(
    storage: Filesystem, work: Path, watch: Janitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Daemon]:
    """A daemon of two workers, six at most, that may be told to hang or to die."""
    monkeypatch.setenv(MARKERS, str(tmp_path))
    options = ("--most-workers", str(_LIMIT), "--slow-after", "1", "--pool-module", "tests.support.faulty_pool")
    with (
        daemon(
            storage.source, work / "slow.mount", tmp_path / "daemon.log", watch, *options, workers=_WORKERS
        ) as running,
        running.log.announced(_SLOW, _FINE),
    ):
        yield running
        assert running.stop() == 0


@contextmanager
def frozen(storage: Filesystem) -> Iterator[None]:
    """Let the filesystem take no writes. Somebody else thaws it, also when this process is killed or hangs."""
    gate, end = os.pipe()
    root = os.open(storage.root, os.O_RDONLY)  # good as well when it is not mounted any more

    def thaw() -> None:
        os.close(end)
        select.select([gate], [], [], _LONGEST_FROST)
        run("fsfreeze", "--unfreeze", f"/proc/{os.getpid()}/fd/{root}")

    with Child(thaw) as thawer:
        os.close(gate)
        run("fsfreeze", "--freeze", storage.root)
        try:
            yield
        finally:
            os.write(end, b".")  # the end of the file would not do: the clients have this descriptor as well
            os.close(end)
            thawer.result()
            os.close(root)


def _reads(running: Daemon) -> None:
    """Use the share without a write. Only in a child: it may hang."""
    assert (running.mountpoint / "file").read_bytes() == b"content"
    assert "file" in os.listdir(running.mountpoint)


def _in_time(function: Callable[[], None]) -> None:
    """Call a function in a child that must be done before long."""
    with Child(function) as child:
        until(lambda: child.ended, "the share does not answer")
        child.result()


def _waiting(running: Daemon) -> list[int]:
    """Return the workers in state D."""
    return [pid for pid in running.workers if state(pid) == "D"]


def _await_waiting(running: Daemon, count: int) -> list[int]:
    """Wait for so many that wait in two looks: others wait as well, for a moment, for a page of memory."""
    looks: list[list[int]] = [[], []]

    def settled() -> bool:
        looks[:] = looks[1], _waiting(running)
        return looks[0] == looks[1] and len(looks[1]) == count

    until(settled, f"there never were {count} workers that wait")
    return looks[1]


def _said(running: Daemon, text: str) -> bool:
    return text in running.log.path.read_text()


def test_others_serve_while_workers_wait_for_storage(share: Daemon, storage: Filesystem) -> None:
    made = [share.mountpoint / name / "made" for name in _PLACES[:_WORKERS]]
    with ExitStack() as stack:
        with frozen(storage):
            clients = [stack.enter_context(Child(partial(path.write_bytes, b"content"))) for path in made]
            waiting = _await_waiting(share, _WORKERS)  # all that there were
            _in_time(partial(_reads, share))
            assert _WORKERS < len(share.workers) <= _LIMIT
            until(lambda: _said(share, "storage slow: create of node"), "it was not told")
            assert not any(client.ended for client in clients)
            assert set(waiting) <= set(share.workers), "nothing was killed"
        for client in clients:
            client.result()
    until(lambda: _said(share, _FINE), "its end was not told")
    for name in _PLACES[:_WORKERS]:
        assert (storage.source / name / "made").read_bytes() == b"content"
    share.full_pool()
    _in_time(partial(_reads, share))


def test_the_pool_grows_to_its_limit_and_no_further(share: Daemon, storage: Filesystem) -> None:
    made = [share.mountpoint / name / "made" for name in _PLACES]
    with ExitStack() as stack:
        with frozen(storage):
            clients = [stack.enter_context(Child(partial(os.mkdir, path))) for path in made]
            _await_waiting(share, _LIMIT)
            time.sleep(2)  # in which it might grow on
            assert len(share.workers) == _LIMIT
        for client in clients:
            client.result()
    for name in _PLACES:
        assert os.listdir(storage.source / name) == ["made"]
    share.full_pool()
    _in_time(partial(_reads, share))


def test_a_death_beside_a_waiting_worker(share: Daemon, storage: Filesystem, tmp_path: Path) -> None:
    """The request of the dead one waits, nobody else does, and nothing is done twice."""
    left, right = (storage.source / name for name in _PLACES[:2])
    slow = share.mountpoint / left.name / "a.hang.gate"
    cut_off = share.mountpoint / right.name / "b.die-after.1.dead"
    with ExitStack() as stack:
        with _marker(tmp_path / "gate"):
            first = stack.enter_context(Child(partial(os.mkdir, slow)))
            until((tmp_path / "gate.reached").exists, "no worker hangs")
            second = stack.enter_context(Child(partial(os.mkdir, cut_off)))
            until((tmp_path / "dead").exists, "no worker died")
            for _ in range(3):
                _in_time(partial(_reads, share))
            assert os.listdir(right) == [cut_off.name], "it was done"
            assert os.listdir(left) == [], "it was not done"
            assert not first.ended
            assert not second.ended
        first.result()
        second.result()
    assert os.listdir(left) == [slow.name]
    share.full_pool()


@contextmanager
def _marker(path: Path) -> Iterator[None]:
    path.touch()
    try:
        yield
    finally:
        path.unlink()


@pytest.mark.parametrize("victim", ["pool", "waiting worker", "another worker"])
def test_kills_while_storage_does_not_answer(share: Daemon, storage: Filesystem, victim: str) -> None:
    with ExitStack() as stack:
        with frozen(storage):
            client = stack.enter_context(Child(partial(os.mkdir, share.mountpoint / "place-0" / "made")))
            (waiting,) = _await_waiting(share, 1)
            match victim:
                case "pool":
                    kill(share.pool)
                case "waiting worker":
                    kill(waiting)
                case _:
                    other = next(pid for pid in share.workers if pid != waiting)
                    kill(other)
                    # It may take a request with it for as long as it has not ended, and that one would wait.
                    until(lambda: not alive(other), "a killed worker lives on")
            _in_time(partial(_reads, share))
            until(lambda: len(share.workers) >= _WORKERS, "there are not enough workers")
            _in_time(partial(_reads, share))
            assert state(waiting) == "D"
            assert not client.ended
        client.result()
    assert os.listdir(storage.source / "place-0") == ["made"]
    share.full_pool()
    in_child(partial(os.rmdir, share.mountpoint / "place-0" / "made"))
