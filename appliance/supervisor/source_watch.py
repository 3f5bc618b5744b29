"""Watching the sources: each share that is served is still what is at its source's path, or it is withheld.

A share holds a private copy of its source's mount, so it could go on for ever after the source was unmounted. It is not
to: what an administrator sees at the path is what clients see, or they wait. The kernel tells when any mount changes;
every few seconds besides, since a directory may be renamed and a device be pulled without that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.checks.source_look import Look, Seen, Verdict
from appliance.errors import SourceError
from appliance.logs import facts
from appliance.nfs.commands import ENVIRONMENT
from appliance.state.events import Events
from appliance.supervisor import checker
from appliance.supervisor.executor import Executor
from appliance.supervisor.missing import Missing
from appliance.supervisor.mountinfo import MountChanges
from appliance.supervisor.plan import Wanted

_LOG = facts(__name__)
_INTERVAL_SECONDS = 5.0
_PATIENCE_SECONDS = 20.0
_STARTED_SECONDS = 60.0  # a Python process on a busy machine
_HUNG_SECONDS = 60.0


class SourceWatch:
    """Looks at the sources of all shares that are, or were, served. All methods belong to the event loop."""

    def __init__(
        self, executor: Executor, events: Events, roots: Sequence[Path], changed: Callable[[], None]
    ) -> None:
        """Sources lie in `roots`, if there are any; `changed` is called when there is something to reconcile."""
        self._executor = executor
        self._events = events
        self._roots = tuple(map(str, roots))
        self._changed = changed
        self._looker: asyncio.subprocess.Process | None = None
        self._hung: dict[str, float] = {}
        """By share: when it is looked at again, since the last look got no answer."""

    async def run(self) -> None:
        """Look for as long as it is not cancelled."""
        wake = asyncio.Event()
        loop = asyncio.get_running_loop()
        with MountChanges() as changes:

            def mounts_changed() -> None:
                changes.clear()
                wake.set()

            loop.add_reader(changes.fileno(), mounts_changed)
            try:
                while True:
                    for name in {**self._executor.served, **self._executor.missing}:
                        await self._look_at(name)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_INTERVAL_SECONDS):
                            await wake.wait()
                    if wake.is_set():
                        wake.clear()
                        self._executor.retry_sources()
                        self._changed()
            finally:
                loop.remove_reader(changes.fileno())
                await self._end_looker()

    async def _look_at(self, name: str) -> None:
        if self._hung.get(name, 0.0) > time.monotonic():
            return
        served, missing = self._executor.served.get(name), self._executor.missing.get(name)
        if served is not None:
            wanted, device = served.wanted, _device(served.source)
        elif missing is not None:
            wanted, device = missing.wanted, -1
        else:
            return
        identity = wanted.identity
        seen = await self._ask(Look(wanted.source, identity.codec, identity.source_id, device, self._roots))
        if self._executor.served.get(name) is not served or self._executor.missing.get(name) is not missing:
            return  # that was about something else
        if seen is None:
            self._hung[name] = time.monotonic() + _HUNG_SECONDS
            _LOG.warning("a source does not answer", share=name, source=wanted.source)
        elif seen.verdict is Verdict.GONE:
            self._gone(name, wanted, SourceError(seen.message, seen.hint, code=seen.code), broken=seen.broken)
        elif seen.verdict is Verdict.AGAIN and served is not None:
            error = SourceError(f"the source {wanted.source} was mounted anew", code="source-mounted-anew")
            self._gone(name, wanted, error, broken=True)
        elif missing is not None and not (missing.broken and served is not None):
            # What is broken is let go of first, even if its path looks well again: it is not what is there now.
            self._back(name, missing)

    def _gone(self, name: str, wanted: Wanted, error: SourceError, *, broken: bool) -> None:
        old = self._executor.missing.get(name)
        new = Missing(wanted, error, broken or (old is not None and old.broken))
        if old is not None and (old.error.message, old.broken) == (error.message, new.broken):
            return
        self._executor.gone(name, new)
        if old is None or old.error.message != error.message:
            _LOG.error("a source is gone", share=name, reason=error.message, hint=error.hint)
            self._events.add("source-missing", error.message, name, {"code": error.code})
        self._changed()

    def _back(self, name: str, missing: Missing) -> None:
        _LOG.info("a source is back", share=name, source=missing.wanted.source)
        self._events.add("source-back", f"{missing.wanted.source} is there again and proved to be the same", name)
        self._executor.forget(name)
        self._changed()

    async def _ask(self, order: Look) -> Seen | None:
        """Return what was seen; None if there was no answer in time."""
        patience = _PATIENCE_SECONDS
        if self._looker is None or self._looker.returncode is not None:
            patience = _STARTED_SECONDS
            self._looker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "appliance.checks.source_look"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        looker = self._looker
        assert looker.stdin is not None  # noqa: S101 - PIPE above
        assert looker.stdout is not None  # noqa: S101
        try:
            looker.stdin.write(order.to_line())
            await looker.stdin.drain()
            async with asyncio.timeout(patience):
                line = await looker.stdout.readline()
            return Seen.from_line(line)
        except (TimeoutError, ConnectionError, ValueError, TypeError):
            await self._end_looker()
            return None

    async def _end_looker(self) -> None:
        looker, self._looker = self._looker, None
        if looker is not None:
            await checker.end(looker)


def _device(source: int | None) -> int:
    """Return the device number of an open source, -1 if it does not even tell that any more."""
    try:
        return os.fstat(source).st_dev if source is not None else -1
    except OSError:  # XFS says EIO after it was shut down
        return -1
