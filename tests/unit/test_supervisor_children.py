"""Children and their guards, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from appliance.children import Accepts, Answers, ChildSpec, HoldsOpen, Succeeds
from appliance.errors import CommandError
from appliance.nfs.commands import complete, run
from appliance.supervisor.child import child_argv
from appliance.supervisor.guard import Guard

READY = HoldsOpen("/ready")
OPENS = "import sys, time; held = open(sys.argv[1], 'w'); print('hello', flush=True); time.sleep(60)"


@pytest.fixture
def ready_file(tmp_path: Path) -> Path:
    return tmp_path / "ready"


def spec(script: str, *arguments: str, ready: HoldsOpen | Succeeds | Accepts = READY) -> ChildSpec:
    return ChildSpec("child", (sys.executable, "-c", script, *arguments), ready)


def guard(of: ChildSpec, timeout: float = 60) -> Guard:
    return Guard(of, timeout)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def with_guard(of: ChildSpec, act: Callable[[Guard], Awaitable[None]], *, patient: bool = False) -> None:
    async def body() -> None:
        kept = guard(of)
        await kept.start(patient=patient)
        try:
            await act(kept)
        finally:
            await kept.stop()

    asyncio.run(body())


def test_a_child_is_ready_when_it_shows_it_and_is_ended(ready_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    seen: list[int] = []

    async def act(kept: Guard) -> None:
        assert ready_file.exists()
        assert kept.problem == ""
        assert kept.pid is not None
        seen.append(kept.pid)
        await until(lambda: any(getattr(r, "holdfast_fields", {}).get("line") == "hello" for r in caplog.records))

    with_guard(spec(OPENS, str(ready_file)), act)
    assert not alive(seen[0])


def test_a_child_that_dies_is_started_again(ready_file: Path) -> None:
    async def act(kept: Guard) -> None:
        first = kept.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: kept.problem)
        assert "was killed by SIGKILL" in kept.problem
        await until(lambda: not kept.problem)
        assert kept.restarts == 1
        assert kept.pid not in (None, first)

    with_guard(spec(OPENS, str(ready_file)), act)


def test_a_child_that_comes_late_is_waited_for_where_others_need_not_wait(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    late = "import os, sys; exec(sys.argv[2]) if os.path.exists(sys.argv[1] + '.now') else sys.exit(3)"

    async def act(kept: Guard) -> None:
        assert "status 3" in kept.problem
        (tmp_path / "ready.now").touch()
        await until(lambda: not kept.problem)
        assert kept.pid is not None

    with_guard(spec(late, str(ready), OPENS), act, patient=True)
    (tmp_path / "ready.now").unlink()
    with pytest.raises(CommandError):
        with_guard(spec(late, str(ready), OPENS), act)


def test_a_child_that_takes_long_to_be_ready_is_given_ever_more_time(ready_file: Path) -> None:
    slow = f"import time; time.sleep(1.5); {OPENS}"

    async def body() -> None:
        kept = guard(spec(slow, str(ready_file)), 0.2)
        await kept.start(patient=True)
        assert "within 0.2 s" in kept.problem
        try:
            async with asyncio.timeout(90):
                while kept.problem:
                    await asyncio.sleep(0.05)
            assert kept.pid is not None
        finally:
            await kept.stop()

    asyncio.run(body())


def test_a_child_that_keeps_dying_is_tried_ever_later(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    once = "import os, sys; sys.exit(3) if os.path.exists(sys.argv[1]) else exec(sys.argv[2])"

    async def act(kept: Guard) -> None:
        assert kept.pid is not None
        os.kill(kept.pid, signal.SIGTERM)
        await until(lambda: kept.restarts >= 2)
        assert "status 3" in kept.problem

    with_guard(spec(once, str(ready), OPENS), act)


def test_a_child_that_ends_at_once_cannot_be_started() -> None:
    async def body() -> None:
        with pytest.raises(CommandError, match="child ended with status 5"):
            await guard(spec("import sys; sys.exit(5)")).start()

    asyncio.run(body())


def test_a_child_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    never = ChildSpec("child", ("sh", "-c", 'echo $$ > "$0"; exec sleep 600', str(mark)), READY)

    async def body() -> None:
        with pytest.raises(CommandError, match=r"did not become ready within 3 s"):
            await guard(never, timeout=3).start()

    asyncio.run(body())
    assert mark.exists() and not alive(int(mark.read_text()))  # noqa: PT018


def test_a_child_that_does_not_exist_cannot_be_started() -> None:
    async def body() -> None:
        with pytest.raises(CommandError, match="no-such-program"):
            await guard(ChildSpec("no-such-program", ("no-such-program",), READY)).start()

    asyncio.run(body())


def test_a_child_that_will_not_hear_is_killed(ready_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.supervisor.child._STOP_SECONDS", 2.0)
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OPENS}"
    seen: list[int] = []

    async def act(kept: Guard) -> None:
        assert kept.pid is not None
        seen.append(kept.pid)

    with_guard(spec(deaf, str(ready_file)), act)
    assert not alive(seen[0])


def test_ready_when_a_port_accepts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        inherited = ChildSpec(
            "child",
            (sys.executable, "-c", "import time; time.sleep(60)"),
            Accepts(port, "127.0.0.1"),
            pass_fds=(listener.fileno(),),
        )

        async def act(kept: Guard) -> None:
            assert kept.problem == ""

        with_guard(inherited, act)


def test_ready_when_a_request_is_answered_not_when_the_socket_is_there(tmp_path: Path) -> None:
    serve = """
import socket, sys, time
listener = socket.socket(fileno=int(sys.argv[1]))
time.sleep(0.3)
while True:
    connection, _ = listener.accept()
    connection.recv(1000)
    connection.send(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    connection.close()
"""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        inherited = ChildSpec(
            "child",
            (sys.executable, "-c", serve, str(listener.fileno())),
            Answers(tmp_path / "s", "/"),
            pass_fds=(listener.fileno(),),
        )
        began = time.monotonic()

        async def act(kept: Guard) -> None:
            assert time.monotonic() - began >= 0.3
            assert kept.problem == ""

        with_guard(inherited, act)


def test_ready_when_a_command_succeeds(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = "import sys, time; time.sleep(0.2); open(sys.argv[1], 'w'); time.sleep(60)"

    async def act(_: Guard) -> None:
        assert mark.exists()

    with_guard(spec(script, str(mark), ready=Succeeds(("test", "-e", str(mark)))), act)


def test_children_see_nothing_of_our_environment(ready_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_SECRET", "x")

    async def act(kept: Guard) -> None:
        environment = Path(f"/proc/{kept.pid}/environ").read_bytes()
        assert b"HOLDFAST_SECRET" not in environment
        assert b"PATH=" in environment

    with_guard(spec(OPENS, str(ready_file)), act)


def test_a_command_is_fed_and_heard() -> None:
    assert asyncio.run(run(["cat"], stdin="abc")) == "abc"


def test_a_failed_command_is_quoted_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    argv = ["sh", "-c", "echo 'no such thing' >&2; exit 4"]
    with pytest.raises(CommandError, match="no such thing"):
        asyncio.run(run(argv))
    assert "a program failed" in caplog.text
    assert asyncio.run(complete(argv)).status == 4


def test_a_command_that_hangs_is_given_up() -> None:
    with pytest.raises(CommandError, match="no answer within"):
        asyncio.run(run(["sleep", "60"], timeout=0.1))


def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no-such-program cannot be run: No such file or directory"):
        asyncio.run(run(["no-such-program"]))
    (tmp_path / "data").touch()
    with pytest.raises(CommandError, match="data cannot be run: Permission denied"):
        asyncio.run(run([str(tmp_path / "data")]))


def test_what_a_child_may_have_of_root_s_capabilities() -> None:
    argv = child_argv(ChildSpec("child", ("daemon", "-f"), READY, capabilities=("net_admin",)))
    assert argv[0] == "setpriv"
    assert "--bounding-set=-all,+net_admin" in argv
    assert argv[-3:] == ("--", "daemon", "-f")
    assert "--bounding-set=-all" in child_argv(ChildSpec("child", ("daemon",), READY, capabilities=()))
    assert child_argv(ChildSpec("child", ("daemon",), READY)) == ("daemon",)
