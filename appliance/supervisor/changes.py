"""Changing shares: one way for REST and for the file, many shares at once or none, and the same way for a rehearsal.

Everything is checked before anything is changed; what fails after that is the appliance's own trouble, shows in the
share's state and is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from appliance.control.config import Match
from appliance.errors import RequestError
from appliance.logs import facts
from appliance.model import Owner, Share
from appliance.model.previews import Preview, ShareChange, changed_lines
from appliance.settings import Settings
from appliance.state.records import Put, ShareRecord
from appliance.state.store import Store
from appliance.supervisor.admission import Admission
from appliance.supervisor.datapath import DataPath
from appliance.supervisor.executor import Executor
from appliance.supervisor.plan import Action, ApplyExports, Open, Release, Resize, SetThreads, Unmount, exported, plan
from appliance.supervisor.reconciler import Reconciler, desired
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
_NO_FSID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Change:
    """What shall be of some shares, and who wants it; all other shares stay as they are."""

    puts: tuple[Share, ...] = ()
    removed: tuple[str, ...] = ()
    by: Owner = "api"


class Changes:
    """Makes changes, one at a time."""

    def __init__(
        self, settings: Settings, store: Store, executor: Executor, reconciler: Reconciler, data_path: DataPath
    ) -> None:
        self._settings = settings
        self._store = store
        self._executor = executor
        self._reconciler = reconciler
        self._admission = Admission(settings, data_path)
        self._lock = asyncio.Lock()
        self.file_owns_all = False
        """Whether the file says that there are no shares but its own."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[dict[str, ShareRecord]]:
        """Wait for all other changes and yield the shares as they are; nothing changes them in the block."""
        async with self._lock:
            yield {record.share.name: record for record in await in_thread(self._store.shares)}

    async def make(self, change: Change, there: dict[str, ShareRecord]) -> list[ShareRecord]:
        """Make a change, reconcile, and return all shares. Raises HoldfastError, and then nothing has changed."""
        puts = await self._admitted(change, there)
        records = await in_thread(lambda: self._store.change(puts, change.removed))
        for name in (*(put.share.name for put in puts), *change.removed):
            self._executor.retry(name)
        _LOG.info("shares were changed", put=[put.share.name for put in puts], removed=change.removed, by=change.by)
        await self._reconciler.attempt()
        return records

    async def rehearse(self, change: Change, there: dict[str, ShareRecord]) -> Preview:
        """Return what a change would do; raises HoldfastError as the change would."""
        puts = await self._admitted(change, there)
        old = desired(self._reconciler.settings, list(there.values()))
        records = await in_thread(lambda: self._store.change(puts, change.removed, rehearse=True))
        new = desired(self._reconciler.settings, records)
        steps = plan(new, await self._executor.observe())
        gone, come = changed_lines(exported(old.root, old.exports).text, exported(new.root, new.exports).text)
        known = await in_thread(self._store.known_fsids)
        for record in records:
            if record.identity.fsid not in known:
                come = tuple(line.replace(str(record.identity.fsid), _NO_FSID) for line in come)
        return Preview(
            shares=tuple(sorted(_what_changes(change, there), key=lambda each: each.name)),
            steps=tuple(map(_words, steps)),
            exports_removed=gone,
            exports_added=come,
        )

    async def rotate_key(self, name: str) -> ShareRecord:
        """Make all handles of a share stale, and return it. For use in one's turn."""
        # Once the store has the new key no old handle comes back: whatever dies on the way, the share is next mounted
        # under the key that the store has then, and the plan ends a mount that has another.
        record = await in_thread(lambda: self._store.rotate_key(name))
        _LOG.info("the key of a share was changed", share=name)
        self._executor.retry(name)
        await self._reconciler.attempt()
        return record

    async def accept_source(self, name: str, there: dict[str, ShareRecord]) -> ShareRecord:
        """Have a share be about what its source is now, and return it. For use in one's turn."""
        backing = await self._admission.prove(name, there)
        record = await in_thread(lambda: self._store.accept(name, backing))
        same = record.identity == there[name].identity
        _LOG.info("a source was accepted", share=name, found=backing.id, same=same)
        self._executor.forget(name)
        await self._reconciler.attempt()
        return record

    async def _admitted(self, change: Change, there: dict[str, ShareRecord]) -> Sequence[Put]:
        for name in (*change.removed, *(share.name for share in change.puts)):
            if change.by == "api":
                self._check_owner(name, there)
        found = await self._admission.admit(change.puts, change.removed, there)
        return [Put(share, found.get(share.name), change.by) for share in change.puts]

    def _check_owner(self, name: str, there: dict[str, ShareRecord]) -> None:
        owned = name in there and there[name].owner == "file"
        if owned or (self.file_owns_all and name not in there):
            what = f"{name} belongs to" if owned else "all shares belong to"
            raise RequestError(
                f"{what} {self._settings.config_file}, so REST does not change it",
                "change it in the file; GET /v1/config/file tells what the file owns",
                code="owned-by-file",
                field="name",
            )


def check_match(match: Match | None, revision: str, what: str) -> None:
    """Raise RequestError `revision-changed` unless the revision is among those that the caller goes by."""
    if match is not None and "*" not in match and revision not in match:
        raise RequestError(
            f"{what} has been changed since: its revision is {revision}",
            "read it again, and make the change to what it is now",
            code="revision-changed",
        )


def _what_changes(change: Change, there: dict[str, ShareRecord]) -> list[ShareChange]:
    found = [ShareChange(name=name, change="remove") for name in change.removed]
    for share in change.puts:
        if share.name not in there:
            found.append(ShareChange(name=share.name, change="add"))
        elif fields := _differing(there[share.name].share, share):
            found.append(ShareChange(name=share.name, change="change", fields=fields))
    return found


def _differing(old: Share, new: Share) -> tuple[str, ...]:
    return tuple(name for name in Share.model_fields if getattr(old, name) != getattr(new, name))


def _words(action: Action) -> str:
    match action:
        case SetThreads(threads):
            return f"nfs threads {threads}"
        case ApplyExports():
            return "export"
        case Release(name):
            return f"unmount {name}"
        case Unmount(path):
            return f"unmount stray {path}"
        case Resize(wanted):
            return f"resize {wanted.name} to {wanted.workers} workers, caching {wanted.caching}"
        case Open(wanted):
            return f"open {wanted.name}"
