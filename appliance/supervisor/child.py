"""One child process: start it, know when it is ready and how it ended, end it. When is the guard's business."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from appliance.children import Accepts, Answers, AsksKernel, ChildSpec, HoldsOpen, Ready, Succeeds
from appliance.errors import CommandError
from appliance.logs import facts
from appliance.nfs.commands import ENVIRONMENT, run
from appliance.nfs.netlink import has_generic
from appliance.nfs.nfsd_files import holds_open

_LOG = facts(__name__)
_POLL_SECONDS = 0.02
_ANSWER_SECONDS = 10.0  # each question that is given up stays in the queue of a listener whose process is on its way
_STOP_SECONDS = 5.0


class Child:
    """A running child process."""

    def __init__(self, spec: ChildSpec, process: asyncio.subprocess.Process) -> None:
        self.spec = spec
        self._process = process
        self._output = asyncio.create_task(_pass_on(spec.name, process.stdout)) if process.stdout else None

    @classmethod
    async def start(cls, spec: ChildSpec) -> Child:
        """Start the process; raises CommandError when its program cannot be run."""
        pipe = None if spec.own_log else asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *child_argv(spec),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipe,
                stderr=asyncio.subprocess.STDOUT if pipe else None,
                env={**ENVIRONMENT, **dict(spec.environment)},
                pass_fds=spec.pass_fds,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"{spec.name} cannot be started: {error}", f"is {spec.argv[0]} installed?") from error
        return cls(spec, process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def ready(self, timeout: float) -> None:
        """Wait until the process shows what its spec calls ready; raises CommandError when it ends or time is up."""
        deadline = time.monotonic() + timeout
        while not await _is_ready(self.spec.ready, self.pid):
            if self._process.returncode is not None:
                raise CommandError(f"{self.spec.name} {self._ending()}", "its output is in the log")
            if time.monotonic() > deadline:
                raise CommandError(f"{self.spec.name} did not become ready within {timeout:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def ended(self) -> str:
        """Wait for the end of the process and return how it ended, as in `was killed by SIGKILL`."""
        await self._process.wait()
        if self._output:
            # A grandchild may still hold the pipe.
            await asyncio.wait([self._output], timeout=1)
            self._output.cancel()
        return self._ending()

    async def stop(self) -> None:
        """End the process: SIGTERM, and SIGKILL if that does not help in five seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self.ended()
                return
        _LOG.error("a child cannot be killed", child=self.spec.name, pid=self.pid)

    def _ending(self) -> str:
        status = self._process.returncode
        if status is not None and status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with status {status}"


def child_argv(spec: ChildSpec) -> tuple[str, ...]:
    """Return the command that starts a child with no more rights than its spec says."""
    if spec.user is None and spec.capabilities is None:
        return spec.argv
    if spec.user is None:
        kept = "".join(f",+{name}" for name in spec.capabilities or ())
        return ("setpriv", "--inh-caps=-all", f"--bounding-set=-all{kept}", "--no-new-privs", "--", *spec.argv)
    # To be another user ends a process's capabilities; without the bounding set no program that it runs gets any back.
    return (
        "setpriv",
        f"--reuid={spec.user}",
        f"--regid={spec.user}",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--no-new-privs",
        "--",
        *spec.argv,
    )


async def _is_ready(condition: Ready, pid: int) -> bool:
    match condition:
        case HoldsOpen(suffix):
            return holds_open(pid, suffix)
        case Accepts(port, host):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return True
            return False
        case Answers(place, path):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    status = await _get(place, path)
                return status.split()[1:2] == [b"200"]
            return False
        case AsksKernel():
            return has_generic(pid)
        case Succeeds(argv):
            with contextlib.suppress(CommandError):
                await run(argv, quiet=True)
                return True
            return False


async def _get(place: Path, path: str) -> bytes:
    """Return the status line of the answer to a GET request."""
    reader, writer = await asyncio.open_unix_connection(place)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return await reader.readline()
    finally:
        writer.close()


async def _pass_on(name: str, stream: asyncio.StreamReader) -> None:
    """Log each line that the child prints."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the reader's limit; what is left of it comes next
            continue
        if not line:
            return
        _LOG.info("said", child=name, line=line.decode(errors="replace").rstrip())


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module of this installation."""
    return (sys.executable, "-m", module, *arguments)
