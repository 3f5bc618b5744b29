"""The canaries: one child for each served share, which opens two handles every few seconds and must answer.

What is looked at is the share's root and one file of its sample, so that nothing has to be hidden from clients. A
canary that falls silent says that the share's clients wait as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from uuid import UUID

from appliance.checks.canary import Pulse
from appliance.checks.outcomes import Outcome
from appliance.checks.samples import Sample, to_text
from appliance.errors import HoldfastError
from appliance.logs import facts
from appliance.model.handles import HandleHealth
from appliance.model.numbers import Capacity
from appliance.nfs.commands import ENVIRONMENT
from appliance.settings import Settings
from appliance.state.check_store import CheckStore
from appliance.state.events import Events
from appliance.state.store import Store
from appliance.supervisor import checker
from appliance.supervisor.executor import Executor
from appliance.supervisor.known_samples import samples_of
from appliance.supervisor.share_access import access
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
_STARTED_SECONDS = 30.0  # a Python process on a busy machine


class Canaries:
    """Keeps a canary for each share that is served. All methods belong to the event loop."""

    def __init__(
        self, settings: Settings, store: Store, results: CheckStore, events: Events, executor: Executor
    ) -> None:
        self._settings = settings
        self._store = store
        self._results = results
        self._events = events
        self._executor = executor
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Start a canary for each share that comes. Runs until it is cancelled, and ends all of them then."""
        try:
            while self._settings.canary_interval:
                for share, task in list(self._tasks.items()):
                    if task.done():
                        del self._tasks[share]
                for share in self._executor.served.keys() - self._executor.leaving - self._tasks.keys():
                    self._tasks[share] = asyncio.create_task(self._watch(share), name=f"canary of {share}")
                await asyncio.sleep(self._settings.canary_interval)
        finally:
            for share in list(self._tasks):
                await self.let_go(share)

    async def let_go(self, share: str) -> None:
        """End a share's canary: the share is about to be unmounted."""
        if task := self._tasks.pop(share, None):
            task.cancel()
            await asyncio.wait([task])

    async def _watch(self, share: str) -> None:
        """Ask a canary for as long as it answers; `run` starts another when this ends."""
        try:
            canary = await _Canary.start(self._settings, self._executor, share)
        except (HoldfastError, OSError) as error:
            _LOG.warning("a canary cannot be started", share=share, reason=error)
            return
        try:
            patience = max(_STARTED_SECONDS, self._settings.canary_patience)
            while served := self._executor.served.get(share):
                if served.serving:
                    sample = await in_thread(partial(self._sample, share, served.wanted.identity.fsid))
                    if not self._heard(share, await canary.ask(sample, patience)):
                        return
                    patience = self._settings.canary_patience
                await asyncio.sleep(self._settings.canary_interval)
        finally:
            await canary.end()

    def _sample(self, share: str, fsid: UUID) -> Sample | None:
        return oldest(samples_of(self._store, self._results, share, fsid))

    def _heard(self, share: str, pulse: Pulse | None) -> bool:
        """Take what the canary said; False if it is no use any more."""
        old = self._executor.health.get(share, HandleHealth())
        if pulse is None or pulse.outcome == Outcome.UNANSWERED:
            reason = "its canary gets no answer" + (f": {pulse.reason}" if pulse else "")
            if old.status not in ("silent", "drift"):
                self._alarm("canary-silent", share, reason)
                self._executor.health[share] = old.model_copy(update={"status": "silent", "reason": reason})
            return pulse is not None
        if pulse.room:
            self._executor.capacity[share] = Capacity.model_validate(pulse.room)
        changes: dict[str, object] = {"canary_seconds": round(pulse.seconds, 4)}
        if pulse.outcome == Outcome.DRIFT and old.status != "drift":
            self._alarm("handle-drift", share, f"the canary: {pulse.reason}")
            changes |= {"status": "drift", "reason": f"a handle has drifted: {pulse.reason}"}
        elif old.status == "silent":
            self._events.add("canary-answers", "the canary is answered again", share)
            changes |= {"status": "ok" if old.checked else "unknown", "reason": ""}
        self._executor.health[share] = old.model_copy(update=changes)
        return True

    def _alarm(self, kind: str, share: str, message: str) -> None:
        _LOG.error("a canary raises the alarm", share=share, reason=message)
        self._events.add(kind, message, share)


class _Canary:
    """The child of one share."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, settings: Settings, executor: Executor, share: str) -> _Canary:
        reached = access(settings, executor, share)
        config = {
            "mountpoint": reached.mountpoint, "source": reached.source, "codec": asdict(reached.codec),
            "table": reached.table, "fsid": str(reached.fsid),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "appliance.checks.canary", json.dumps(config)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
            pass_fds=(reached.source,),
            start_new_session=True,
        )
        canary = cls(process)
        await canary._send(reached.key.hex())
        return canary

    async def ask(self, sample: Sample | None, patience: float) -> Pulse | None:
        """Return what it sees; None if it says nothing in time or has ended."""
        assert self._process.stdout is not None  # noqa: S101 - PIPE above
        await self._send(to_text(sample) if sample else "")
        try:
            async with asyncio.timeout(patience):
                line = await self._process.stdout.readline()
            return Pulse.from_line(line) if line else None
        except (TimeoutError, ValueError, TypeError):
            return None

    async def _send(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - PIPE above
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def end(self) -> None:
        await checker.end(self._process)


def oldest(samples: list[Sample], now: Callable[[], float] = time.time) -> Sample | None:
    """Return the file that has been in the sample for longest, another one every minute or so among the first ten."""
    living = sorted((each for each in samples if each.deleted is None and each.path), key=lambda each: each.taken)[:10]
    return living[int(now() // 60) % len(living)] if living else None
