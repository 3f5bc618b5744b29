"""Answering the API: checks what it asks for, changes the store, reconciles, tells the outcome.

Everything is checked before anything is changed; what fails after that is the appliance's own trouble, shows in the
share's state and is tried again.
"""

from __future__ import annotations

import asyncio

from appliance.control import (
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
from appliance.logs import facts
from appliance.model import Share
from appliance.settings import Settings
from appliance.store import ShareRecord, Store
from appliance.supervisor.admission import Admission
from appliance.supervisor.datapath import DataPath
from appliance.supervisor.executor import Executor
from appliance.supervisor.nfs_side import NfsSide
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.threads import in_thread
from appliance.supervisor.views import readiness, view

_LOG = facts(__name__)


class Requests:
    """Carries out what the API asks for, one change at a time."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        executor: Executor,
        reconciler: Reconciler,
        nfs_side: NfsSide,
        data_path: DataPath,
    ) -> None:
        self._settings = settings
        self._store = store
        self._executor = executor
        self._reconciler = reconciler
        self._nfs_side = nfs_side
        self._admission = Admission(settings, store, data_path)
        self._changes = asyncio.Lock()

    async def answer(self, request: ShareRequest) -> Reply:
        """Do what is asked and return the reply; raises HoldfastError, and then nothing has changed."""
        match request:
            case ListShares():
                records = await in_thread(self._store.shares)
                views = await asyncio.gather(*(view(self._settings, self._executor, record) for record in records))
                return SharesReply(shares=tuple(views))
            case GetShare(name=name):
                return await self._reply(await in_thread(lambda: self._store.share(name)))
            case CreateShare(share=share):
                return await self._create(share)
            case UpdateShare():
                return await self._update(request)
            case DeleteShare(name=name):
                return await self._delete(name)
            case RotateKey(name=name):
                return await self._rotate_key(name)
            case AcceptSource(name=name):
                return await self._accept_source(name)
            case GetReadiness():
                records = await in_thread(self._store.shares)
                problems = await self._nfs_side.problems()
                return ReadinessReply(readiness=await readiness(self._executor, records, problems))

    async def _create(self, share: Share) -> Reply:
        async with self._changes:
            await in_thread(lambda: self._store.check_free(share.name))
            backing = await self._admission.admit(share)
            assert backing is not None  # noqa: S101 - a new share has a new source
            record = await in_thread(lambda: self._store.add(share, backing))
            _LOG.info("a share was added", share=share.name, source=share.source)
            await self._reconciler.attempt()
        return await self._reply(record)

    async def _update(self, request: UpdateShare) -> Reply:
        async with self._changes:
            old = (await in_thread(lambda: self._store.share(request.name))).share
            share = request.changes.apply(old)
            backing = await self._admission.admit(share, old)
            record = await in_thread(lambda: self._store.replace(share, backing))
            _LOG.info("a share was changed", share=share.name, fields=sorted(request.changes.model_fields_set))
            self._executor.forget(share.name)
            await self._reconciler.attempt()
        return await self._reply(record)

    async def _delete(self, name: str) -> Reply:
        async with self._changes:
            await in_thread(lambda: self._store.remove(name))
            _LOG.info("a share was removed", share=name)
            await self._reconciler.attempt()
        return Done()

    async def _rotate_key(self, name: str) -> Reply:
        # Once the store has the new key no old handle comes back: whatever dies on the way, the share is next mounted
        # under the key that the store has then, and the plan ends a mount that has another.
        async with self._changes:
            record = await in_thread(lambda: self._store.rotate_key(name))
            _LOG.info("the key of a share was changed", share=name)
            self._executor.forget(name)
            await self._reconciler.attempt()
        return await self._reply(record)

    async def _accept_source(self, name: str) -> Reply:
        async with self._changes:
            old = await in_thread(lambda: self._store.share(name))
            backing = await self._admission.prove(old.share)
            record = await in_thread(lambda: self._store.accept(name, backing))
            _LOG.info("a source was accepted", share=name, found=backing.id, same=record.identity == old.identity)
            self._executor.forget(name)
            await self._reconciler.attempt()
        return await self._reply(record)

    async def _reply(self, record: ShareRecord) -> Reply:
        return ShareReply(share=await view(self._settings, self._executor, record))
