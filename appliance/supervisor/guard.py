"""The policy about one child: it is to run, and whenever it ends it is started again, later each time."""

from __future__ import annotations

import asyncio
import contextlib
import time

from appliance.backoff import Backoff
from appliance.children import ChildSpec
from appliance.errors import CommandError
from appliance.logs import facts
from appliance.supervisor.child import Child

_LOG = facts(__name__)
_LONGEST_START_SECONDS = 960.0


class Guard:
    """Keeps one child running.

    A child that does not become ready within `ready_timeout` seconds may hang, or be on its way on a busy machine. It
    is ended, and the next one has twice the time: with the same time none would ever be ready there.
    """

    def __init__(self, spec: ChildSpec, ready_timeout: float) -> None:
        self.spec = spec
        self.problem = "not started yet"
        self.restarts = 0
        self._ready_timeout = ready_timeout
        self._backoff = Backoff()
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._child.pid if self._child else None

    async def start(self, *, patient: bool = False) -> None:
        """Start the child, wait until it is ready, and watch it from then on.

        Raises CommandError if it does not become ready, unless `patient`: then it is tried again, as if it had been.
        """
        try:
            await self._start_child()
        except CommandError as error:
            if not patient:
                raise
            self.problem = error.message
        self._task = asyncio.create_task(self._watch(), name=f"guard of {self.spec.name}")

    async def stop(self) -> None:
        """End the child for good."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._child:
            await self._child.stop()
            self._child = None
        self.problem = "stopped"

    async def _start_child(self) -> None:
        self._child = await Child.start(self.spec)
        try:
            await self._child.ready(self._ready_timeout)
        except CommandError:
            await self._child.stop()
            self._child = None
            self._ready_timeout = max(self._ready_timeout, min(2 * self._ready_timeout, _LONGEST_START_SECONDS))
            raise
        self.problem = ""
        _LOG.info("a child is ready", child=self.spec.name, pid=self._child.pid)

    async def _watch(self) -> None:
        while True:
            if self._child:
                ending = await self._child.ended()
                self._child = None
                self.problem = f"{self.spec.name} {ending} and is being restarted"
            delay = self._backoff.after_failure(time.monotonic())
            _LOG.warning("a child is down", child=self.spec.name, reason=self.problem, retry_seconds=delay)
            await asyncio.sleep(delay)
            self.restarts += 1
            try:
                await self._start_child()
            except CommandError as error:
                self.problem = error.message
