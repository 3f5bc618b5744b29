"""The first process, for real: each test runs a program that becomes one."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.errors import CommandError, KernelError
from appliance.linux import mounts
from appliance.supervisor.first import exit_status
from appliance.supervisor.first_orders import FirstProcess, Holder

BEGIN = """
import os, select, signal, subprocess, sys, time
from appliance.supervisor.first import STOP_SIGNALS, become_first
first = become_first()
assert first.pid == os.getppid()
"""


def run(script: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run a program, `before` it what sets it up."""
    argv = [*before, sys.executable, "-c", BEGIN + script]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def started(script: str) -> Iterator[subprocess.Popen[str]]:
    """Give a program that has printed its first line."""
    program = subprocess.Popen([sys.executable, "-c", BEGIN + script], stdout=subprocess.PIPE, text=True)
    try:
        yield program
    finally:
        program.kill()
        program.wait()
        assert program.stdout
        program.stdout.close()


def line(program: subprocess.Popen[str]) -> str:
    assert program.stdout
    return program.stdout.readline().strip()


@pytest.mark.parametrize(("status", "code"), [(0, 0), (78 << 8, 78), (signal.SIGKILL, 137)])
def test_a_status_is_what_a_shell_makes_of_it(status: int, code: int) -> None:
    assert exit_status(status) == code


def test_a_reply_that_came_too_late_is_not_taken_for_another_order_s() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        first = FirstProcess(os.getpid(), ours, {}, again=False)
        ours.settimeout(0.01)
        with pytest.raises(CommandError, match="does not answer"):
            first.mount_nfsd()  # nobody is there
        ours.settimeout(60)
        holder = Holder()
        answering = threading.Thread(target=lambda: [holder.obey(theirs) for _ in range(2)])
        holder._mount_nfsd = iter((7, 8)).__next__  # type: ignore[method-assign]
        answering.start()
        assert first.mount_nfsd().name == "8"
        answering.join()


def test_an_order_to_keep_or_drop_that_nobody_answers_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        first = FirstProcess(os.getpid(), ours, {}, again=False)
        ours.settimeout(0.01)
        first.keep("a", "secret", [ours.fileno()])
        theirs.close()
        first.drop("a")
    told = [(entry.holdfast_fields["order"], entry.holdfast_fields["name"]) for entry in caplog.records]  # type: ignore[attr-defined]
    assert told == [("keep", "a"), ("drop", "a")]
    assert "secret" not in str([vars(entry) for entry in caplog.records])


def test_it_ends_as_the_supervisor_does() -> None:
    assert run("sys.exit(78)").returncode == 78
    assert run("os.kill(os.getpid(), signal.SIGKILL)").returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_passes_signals_on(number: signal.Signals) -> None:
    script = f"""
signal.signal({int(number)}, lambda *_: (print("heard", flush=True), os._exit(3)))
signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
print("ready", flush=True)
time.sleep(60)
"""
    with started(script) as program:
        assert line(program) == "ready"
        program.send_signal(number)
        assert line(program) == "heard"
        assert program.wait(10) == 3


def test_it_reaps_those_who_lost_their_parent() -> None:
    script = """
if os.fork() == 0:
    orphan = os.fork()
    if orphan:
        print(orphan, flush=True)
        os._exit(0)
    while os.getppid() not in (1, first.pid):
        time.sleep(0.01)
    print(os.getppid() == first.pid, flush=True)
    os._exit(0)
time.sleep(60)
"""
    with started(script) as program:
        said = {line(program), line(program)}
        assert "True" in said
        (orphan,) = said - {"True"}
        deadline = time.monotonic() + 10
        while Path(f"/proc/{orphan}").exists():
            assert time.monotonic() < deadline, "the orphan is a zombie"
            time.sleep(0.01)


AGAIN = """
if not first.again:
    spared = os.fork()
    if spared == 0:
        time.sleep(60)
        os._exit(0)
    left = subprocess.Popen(["sleep", "60"])
    readable, writable = os.pipe()
    first.keep("share/a", "text of a", (readable, writable), spare=spared)
    first.keep("share/b", "", (readable,))
    first.drop("share/b")
    os.write(writable, b"written before")
    print(spared, left.pid, flush=True)
"""


def test_another_supervisor_goes_on_with_what_a_killed_one_has_left() -> None:
    script = (
        AGAIN
        + """
    os.kill(os.getpid(), signal.SIGKILL)
(held,) = first.held.values()
print(*first.held, held.text, os.read(held.descriptors[0], 99).decode(), flush=True)
sys.exit(0)
"""
    )
    with started(script) as program:
        spared, left = (int(pid) for pid in line(program).split())
        try:
            assert line(program) == "share/a text of a written before"
            assert program.wait(10) == 0
            assert not Path(f"/proc/{left}").exists()
            assert Path(f"/proc/{spared}").exists()
        finally:
            os.kill(spared, signal.SIGKILL)


def test_who_still_tells_clients_of_a_start_lives_on() -> None:
    script = """
from appliance.linux import process
if not first.again:
    notifier = os.fork()
    if notifier == 0:
        process.set_name("sm-notify")
        os.kill(os.getppid(), signal.SIGUSR1)
        time.sleep(60)
        os._exit(0)
    first.keep("share/a", "", (0,))
    signal.sigwait({signal.SIGUSR1})
    print(notifier, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
print("again", flush=True)
sys.exit(0)
"""
    blocked = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})"
    with started(f"{blocked}{script}") as program:
        notifier = int(line(program))
        try:
            assert line(program) == "again"
            assert Path(f"/proc/{notifier}").exists()
        finally:
            os.kill(notifier, signal.SIGKILL)


def test_it_holds_more_descriptors_than_a_soft_limit_allows_and_select_can_take() -> None:
    script = """
if not first.again:
    for number in range(100):
        first.keep(f"share {number}", "", (0,) * 16)
    os.kill(os.getpid(), signal.SIGKILL)
print(sum(len(held.descriptors) for held in first.held.values()), flush=True)
sys.exit(0)
"""
    done = run(script, "prlimit", "--nofile=1024:")
    assert (done.returncode, done.stdout.strip()) == (0, "1600")


@pytest.mark.parametrize("ending", ["sys.exit(0)", "sys.exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_supervisor_that_has_left_nothing_is_not_started_again(ending: str) -> None:
    assert run(f"print('began', flush=True)\n{ending}").stdout.count("began") == 1


def test_a_supervisor_that_fails_is_started_again_until_it_ends_in_order() -> None:
    script = """
if not first.again:
    first.keep("count", "", (0,))
count = len(first.held)
print(count, flush=True)
if count < 3:
    first.keep(f"more {count}", "", (0,))
    sys.exit(70)
"""
    done = run(script)
    assert (done.returncode, done.stdout.split()) == (0, ["0", "2", "3"])


def test_an_order_to_stop_waits_for_the_next_supervisor() -> None:
    script = """
signal.signal(signal.SIGTERM, lambda *_: (print("heard", flush=True), os._exit(0)))
if not first.again:
    first.keep("a", "", (0,))
    os.kill(os.getpid(), signal.SIGKILL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
print("ready", flush=True)
time.sleep(60)
"""
    with started(script) as program:
        assert line(program) == "ready"
        program.send_signal(signal.SIGTERM)
        assert line(program) == "heard"
        assert program.wait(10) == 0


def test_an_order_to_stop_that_comes_early_is_heard_when_the_supervisor_can_obey() -> None:
    script = """
first.keep("a", "", (0,))
os.kill(first.pid, signal.SIGTERM)
while signal.SIGTERM not in signal.sigpending():
    time.sleep(0.01)
signal.signal(signal.SIGTERM, lambda *_: (print("heard", flush=True), os._exit(0)))
signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
time.sleep(60)
"""
    done = run(script)
    assert (done.returncode, done.stdout) == (0, "heard\n")


def test_the_supervisor_learns_of_its_end() -> None:
    script = """
print("ready", flush=True)
print("gone" if select.select([first], [], [], 30)[0] else "late", flush=True)
"""
    with started(script) as program:
        assert line(program) == "ready"
        program.kill()
        assert line(program) == "gone"


def test_a_kernel_without_nfsd_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_type(_: str) -> int:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(mounts, "detached", no_such_type)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        answering = threading.Thread(target=Holder().obey, args=(theirs,))
        answering.start()
        with pytest.raises(KernelError) as caught:
            FirstProcess(os.getpid(), ours, {}, again=False).mount_nfsd()
        answering.join()
    assert (caught.value.code, caught.value.hint) == ("no-nfsd", "on the host: modprobe nfsd")
