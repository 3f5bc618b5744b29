"""A virtual machine from power-on to power-off: ready for commands, its traces kept only when something failed."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.console import say, step
from deploy.paths import state_root
from deploy.vm.channel import Channel, make_keys
from deploy.vm.machine import SSH_PORT, Forward, Machine, Spec

KEPT_FAILURES = 5
STALE_SECONDS = 3600.0


@dataclass(frozen=True)
class Vm:
    """A running virtual machine and the way to run commands in it."""

    machine: Machine
    channel: Channel


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def boot(spec: Spec, home: Path, *, outlive_us: bool = False) -> Vm:
    """Boot a machine whose keys, logs and process id go to the directory `home`. Raises VmLostError."""
    make_keys(home)
    port = free_port()
    (home / "port").write_text(f"{port}\n")
    forwards = (*spec.forwards, Forward(port, SSH_PORT))
    with step("Booting the virtual machine"):
        machine = Machine.start(replace(spec, forwards=forwards), home, outlive_us=outlive_us)
        try:
            machine.wait_until_ready()
        except BaseException:
            machine.power_off()
            raise
    return Vm(machine, Channel(home, port))


def find(home: Path) -> Vm | None:
    """Return the machine that an earlier command left running, or None."""
    machine = Machine.find(home)
    return None if machine is None else Vm(machine, Channel(home, int((home / "port").read_text())))


@contextmanager
def booted(spec: Spec) -> Iterator[Vm]:
    """Give a machine for the time of the block and power it off after it, however the block ends.

    If it ends with an exception, the machine's serial log is kept and its place is told.
    """
    runs = state_root() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    _sweep(runs)
    home = Path(tempfile.mkdtemp(prefix="vm-", dir=runs))
    try:
        vm = boot(spec, home)
        try:
            yield vm
        finally:
            vm.machine.power_off()
    except BaseException:
        keep_log(home)
        raise
    finally:
        shutil.rmtree(home)


def _sweep(runs: Path) -> None:
    # What a killed run left; its machine went with it. A run that has only just begun has no machine yet either.
    for home in runs.iterdir():
        if time.time() - home.stat().st_mtime > STALE_SECONDS and Machine.find(home) is None:
            shutil.rmtree(home, ignore_errors=True)


def keep_log(home: Path) -> None:
    """Keep the serial log of a machine that is about to go, say where, and forget the oldest ones."""
    log = home / "serial.log"
    if not log.exists():
        return
    kept = state_root() / "failed"
    kept.mkdir(exist_ok=True)
    say(f"The virtual machine's console is kept: {shutil.copy(log, kept / f'{home.name}.log')}")
    for old in sorted(kept.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_FAILURES:]:
        old.unlink()
