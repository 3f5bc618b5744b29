"""`python -m tests.bench.checks` (as root): what a passive check of 1,000 samples takes, idle and beside clients."""

from __future__ import annotations

import argparse
import mmap
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from uuid import UUID

from appliance.checks.messages import ANSWERS, Checked, CheckOrder, ShareAccess
from appliance.checks.samples import Sample
from appliance.fuse.state import State
from tests.support.children import Child
from tests.support.daemon import Daemon, daemon
from tests.support.filesystems import filesystem
from tests.support.janitor import janitor
from tests.support.posix.files import make
from tests.support.scratch import scratch_directory
from tests.support.witness import drop_caches

FILES = 5000
SAMPLES = 1000
_COUNT = struct.Struct("=Q")


class Load:
    """Clients that stat, open, read and write files on the mount as fast as they can, and count what they do."""

    def __init__(self, mountpoint: Path, clients: int) -> None:
        self._mountpoint = mountpoint
        self._clients = clients
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def operations(self) -> int:
        return sum(_COUNT.unpack_from(self._memory, 8 + 8 * client)[0] for client in range(self._clients))

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            children = [
                stack.enter_context(Child(partial(self._work, client))) for client in range(self._clients)
            ]
            time.sleep(1)
            yield
            self._memory[0] = 1
            for child in children:
                child.result()

    def _work(self, client: int) -> None:
        dice = random.Random(client)
        done = 0
        while self._memory[0] == 0:
            path = self._mountpoint / _name(dice.randrange(FILES))
            descriptor = os.open(path, os.O_RDWR)
            os.pread(descriptor, 4096, 0)
            os.pwrite(descriptor, b"again", 0)
            os.fstat(descriptor)
            os.close(descriptor)
            done += 5
            _COUNT.pack_into(self._memory, 8 + 8 * client, done)


def _name(number: int) -> str:
    return f"d{number % 50}/f{number}"


def _populate(source: Path) -> None:
    for directory in range(50):
        (source / f"d{directory}").mkdir()
    for number in range(FILES):
        make(bytes(source / _name(number)), b"x" * 4096)


def check(running: Daemon, samples: tuple[Sample, ...]) -> Checked:
    """Run the checker as the supervisor does."""
    state = State(running.mountpoint.with_name(f"{running.mountpoint.name}.state"))
    codec = state.codec()
    assert codec is not None
    source = os.open(running.source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        access = ShareAccess(
            name="bench", mountpoint=str(running.mountpoint), source=source, codec=codec, table="", key=state.key(),
            fsid=UUID(int=1),
        )  # fmt: skip
        order = CheckOrder(share=access, samples=samples, capacity=SAMPLES)
        done = subprocess.run(
            [sys.executable, "-m", "appliance.checks"], input=order.model_dump_json().encode(), check=True,
            stdout=subprocess.PIPE, pass_fds=(source,),
        )  # fmt: skip
    finally:
        os.close(source)
    answer = ANSWERS.validate_json(done.stdout.splitlines()[-1])
    assert isinstance(answer, Checked), answer
    assert set(answer.counts) == {"same"}, answer.counts
    return answer


def _rate(load: Load, seconds: float) -> float:
    before, began = load.operations, time.monotonic()
    time.sleep(seconds)
    return (load.operations - before) / (time.monotonic() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clients", type=int, default=4)
    arguments = parser.parse_args()
    with janitor() as watch, scratch_directory() as work, filesystem("ext4", work) as disk:
        _populate(disk.source)
        with daemon(disk.source, work / "mount", work / "log", watch) as running:
            samples = check(running, ()).samples
            print(f"samples: {len(samples)}")
            print(f"idle, the kernel knows all: {median(check(running, samples).seconds for _ in range(5)):.2f} s")
            cold = []
            for _ in range(5):
                drop_caches()
                cold.append(check(running, samples).seconds)
            print(f"idle, the kernel knows none: {median(cold):.2f} s")
            load = Load(running.mountpoint, arguments.clients)
            with load.running():
                _busy(running, load, samples, arguments.rounds)


def _busy(running: Daemon, load: Load, samples: tuple[Sample, ...], rounds: int) -> None:
    alone, beside, took, meanwhile = [], [], [], []
    for _ in range(rounds):
        alone.append(_rate(load, 2))
        drop_caches()
        before, began = load.operations, time.monotonic()
        report = check(running, samples)
        beside.append((load.operations - before) / (time.monotonic() - began))
        took.append(report.seconds)
        # An opened handle and an asked worker for each sample.
        meanwhile.append(2 * len(samples) / ((load.operations - before) or 1))
    print(f"busy: a check takes {median(took):.2f} s (at most {max(took):.2f} s)")
    print(f"busy: {median(alone):.0f} operations a second without a check, {median(beside):.0f} beside one")
    print(f"busy: the check's own requests are {median(meanwhile):.1%} of the clients' operations meanwhile")


if __name__ == "__main__":
    main()
