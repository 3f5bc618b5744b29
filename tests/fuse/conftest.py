"""Fixtures of the FUSE tier, and what a failure leaves behind: the daemon's log and a line that repeats the test."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tests.support.commands import pasteable
from tests.support.daemon import LIVE, Daemon, daemon
from tests.support.filesystems import KINDS, ONE_OF_EACH, Filesystem, filesystem, kernel_obstacle
from tests.support.janitor import Janitor, janitor
from tests.support.scratch import scratch_directory, sweep

StartDaemon = Callable[[], AbstractContextManager[Daemon]]

_DEADLINE_SECONDS = 800  # for one test; a marker `timeout` asks for another


@pytest.fixture(scope="session")
def watch() -> Iterator[Janitor]:
    """The janitor of this run."""
    sweep()
    with janitor() as found:
        yield found


@pytest.fixture(scope="session")
def work(watch: Janitor) -> Iterator[Path]:
    """A private directory for images and mountpoints."""
    with scratch_directory() as path:
        yield path


def _chosen(config: pytest.Config) -> list[str]:
    wanted = config.getoption("--filesystems")
    kinds = list(KINDS) if wanted == "all" else wanted.split(",")
    if unknown := set(kinds) - KINDS.keys():
        raise pytest.UsageError(f"--filesystems: {', '.join(sorted(unknown))} is none of {', '.join(KINDS)}")
    return kinds


def pytest_report_header(config: pytest.Config) -> str:
    return f"filesystems: {', '.join(_chosen(config))} (of {', '.join(KINDS)})"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs a disk on each chosen kind that the module's FILESYSTEMS or the test's mark `kinds` allow.

    A module that says nothing is run on one kind of each filesystem.
    """
    if "disk" in metafunc.fixturenames:
        allowed = getattr(metafunc.module, "FILESYSTEMS", ONE_OF_EACH)
        if mark := metafunc.definition.get_closest_marker("kinds"):
            allowed = mark.args
        kinds = [kind for kind in _chosen(metafunc.config) if kind in allowed]
        metafunc.parametrize("disk", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def disk(request: pytest.FixtureRequest, work: Path) -> Iterator[Filesystem]:
    """A filesystem of each kind, for the whole run."""
    if reason := kernel_obstacle(request.param):
        pytest.skip(reason)
    with filesystem(request.param, work) as made:
        yield made


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test makes in the source goes with it: the next one is to find no names that it did not make."""
    if "disk" not in request.fixturenames:
        yield
        return
    source = bytes(request.getfixturevalue("disk").source)
    before = set(os.listdir(source))
    yield
    for name in set(os.listdir(source)) - before:
        path = os.path.join(source, name)
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)


@pytest.fixture(scope="session")
def shared_daemon(
    disk: Filesystem, work: Path, watch: Janitor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """A daemon for the tests that leave it as it was."""
    log = tmp_path_factory.mktemp("daemon") / "log"
    with daemon(disk.source, work / f"{disk.kind}.shared", log, watch) as running:
        disk.grow()
        yield running


@pytest.fixture
def start(disk: Filesystem, work: Path, watch: Janitor, tmp_path: Path) -> StartDaemon:
    """A function that starts a daemon of the test's own; one log, also when it is started again."""
    return lambda: daemon(disk.source, work / f"{disk.kind}.own", tmp_path / "daemon.log", watch)


@pytest.fixture
def own_daemon(start: StartDaemon) -> Iterator[Daemon]:
    """A daemon that the test may mistreat."""
    with start() as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A passing test fails when a daemon logged something that nobody announced."""
    arguments = item.funcargs if isinstance(item, pytest.Function) else {}
    watch = arguments.get("watch")
    marker = item.get_closest_marker("timeout")
    seconds = marker.args[0] - 10 if marker else _DEADLINE_SECONDS
    others = [running.process.pid for running in LIVE if running not in arguments.values()]
    with watch.deadline(seconds, others) if isinstance(watch, Janitor) else nullcontext():
        result = yield
    for running in LIVE:
        running.log.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("repeat", pasteable(["pytest", item.nodeid])))
        for running in LIVE:
            report.sections.append((f"end of the daemon's log {running.log.path}", running.log.tail()))
    return report
