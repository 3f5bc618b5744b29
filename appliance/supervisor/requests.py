"""Answering the API about shares: what there is, and changes to one of them."""

from __future__ import annotations

import asyncio

from appliance.control.config import Match, PreviewReply
from appliance.control.messages import (
    AcceptSource,
    CreateShare,
    DeleteShare,
    Done,
    GetReadiness,
    GetShare,
    ListShares,
    ReadinessReply,
    Reply,
    RotateKey,
    ShareReply,
    ShareRequest,
    SharesReply,
    UpdateShare,
)
from appliance.model import Share
from appliance.state.records import ShareRecord
from appliance.state.store import Store
from appliance.supervisor.changes import Change, Changes, check_match
from appliance.supervisor.executor import Executor
from appliance.supervisor.nfs_side import NfsSide
from appliance.supervisor.threads import in_thread
from appliance.supervisor.views import readiness, view


class Requests:
    """Carries out what the API asks for."""

    def __init__(
        self, store: Store, executor: Executor, changes: Changes, nfs_side: NfsSide
    ) -> None:
        self._store = store
        self._executor = executor
        self._changes = changes
        self._nfs_side = nfs_side

    async def answer(self, request: ShareRequest) -> Reply:
        """Do what is asked and return the reply; raises HoldfastError, and then nothing has changed."""
        match request:
            case ListShares():
                records = await in_thread(self._store.shares)
                settings = self._nfs_side.settings
                views = await asyncio.gather(*(view(settings, self._executor, record) for record in records))
                return SharesReply(shares=tuple(views))
            case GetShare(name=name):
                return await self._reply(await in_thread(lambda: self._store.share(name)))
            case CreateShare():
                return await self._create(request)
            case UpdateShare():
                return await self._update(request)
            case DeleteShare():
                return await self._delete(request)
            case RotateKey():
                return await self._rotate_key(request)
            case AcceptSource():
                return await self._accept_source(request)
            case GetReadiness():
                records = await in_thread(self._store.shares)
                problems = await self._nfs_side.problems()
                return ReadinessReply(readiness=await readiness(self._executor, records, problems))

    async def _create(self, request: CreateShare) -> Reply:
        share = request.share
        async with self._changes.turn() as there:
            if share.name in there:
                await in_thread(lambda: self._store.check_free(share.name))
            return await self._put(share, there, dry_run=request.dry_run)

    async def _update(self, request: UpdateShare) -> Reply:
        async with self._changes.turn() as there:
            old = self._found(request.name, request.match, there)
            return await self._put(request.changes.apply(old.share), there, dry_run=request.dry_run)

    async def _put(self, share: Share, there: dict[str, ShareRecord], *, dry_run: bool) -> Reply:
        change = Change(puts=(share,))
        if dry_run:
            return PreviewReply(preview=await self._changes.rehearse(change, there))
        records = await self._changes.make(change, there)
        return await self._reply(next(record for record in records if record.share.name == share.name))

    async def _delete(self, request: DeleteShare) -> Reply:
        async with self._changes.turn() as there:
            self._found(request.name, request.match, there)
            change = Change(removed=(request.name,))
            if request.dry_run:
                return PreviewReply(preview=await self._changes.rehearse(change, there))
            await self._changes.make(change, there)
        return Done()

    async def _rotate_key(self, request: RotateKey) -> Reply:
        async with self._changes.turn() as there:
            self._found(request.name, request.match, there)
            return await self._reply(await self._changes.rotate_key(request.name))

    async def _accept_source(self, request: AcceptSource) -> Reply:
        async with self._changes.turn() as there:
            self._found(request.name, request.match, there)
            return await self._reply(await self._changes.accept_source(request.name, there))

    def _found(self, name: str, match: Match | None, there: dict[str, ShareRecord]) -> ShareRecord:
        record = there.get(name) or self._store.share(name)  # which raises what says that there is none
        check_match(match, record.revision, name)
        return record

    async def _reply(self, record: ShareRecord) -> Reply:
        return ShareReply(share=await view(self._nfs_side.settings, self._executor, record))
