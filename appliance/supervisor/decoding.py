"""What a pasted handle names: every share it could be of is asked, each by a checker of its own."""

from __future__ import annotations

import asyncio
from uuid import UUID

from appliance.checks import forms
from appliance.checks.decode import Decoded
from appliance.checks.forms import MountHandle, NfsHandle, SourceHandle
from appliance.checks.messages import Answered, DecodeOrder
from appliance.checks.outcomes import Meaning
from appliance.errors import RequestError
from appliance.fuse.nodes import ROOT
from appliance.model.handles import DecodedHandle, printable
from appliance.settings import Settings
from appliance.state.records import ShareRecord
from appliance.state.store import Store
from appliance.supervisor import checker
from appliance.supervisor.checker import CheckError
from appliance.supervisor.executor import Executor
from appliance.supervisor.share_access import access
from appliance.supervisor.threads import in_thread

_PATIENCE_SECONDS = 20.0
_AT_ONCE = 4
# The better answer first: what only the right share can say, then what a wrong one may say as well.
_ORDER = tuple(Meaning)


class Decoding:
    """Decodes handles."""

    def __init__(self, settings: Settings, store: Store, executor: Executor) -> None:
        self._settings = settings
        self._store = store
        self._executor = executor
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def decode(self, text: str) -> DecodedHandle:
        """Return what the hexadecimal digits name; raises RequestError `handle-invalid` if they can be no handle."""
        best = DecodedHandle(form="unknown", verdict=Meaning.UNKNOWN, reason="this is no form of handle that is known")
        records = await in_thread(self._store.shares)
        for form in forms.readings(forms.parse_hex(text)):
            found = await self._nfs(form, records) if isinstance(form, NfsHandle) else await self._any(form, records)
            if best.form == "unknown" or _rank(found) < _rank(best):
                best = found
            if isinstance(form, NfsHandle) or _rank(best) <= _ORDER.index(Meaning.FREED):
                break
        return best

    async def _nfs(self, form: NfsHandle, records: list[ShareRecord]) -> DecodedHandle:
        if form.fsid is None:
            reason = "an NFS file handle whose fsid is no UUID: another server's, or the root above the shares"
            return DecodedHandle(form="nfs", verdict=Meaning.FOREIGN_FSID, reason=reason)
        for record in records:
            if record.identity.fsid == form.fsid:
                handle = MountHandle(form.handle or forms.root_handle())
                return _told("nfs", await self._ask(record, handle), record, form.fsid)
        former = (await in_thread(self._store.known_fsids)).get(form.fsid)
        if former is not None:
            reason = f"{former} had this fsid; it is gone, or has another source since"
            return DecodedHandle(
                form="nfs", verdict=Meaning.FORMER_FSID, reason=reason, share=former, fsid=form.fsid
            )
        reason = "no share has, or ever had, this fsid: another server's handle, or this one's state was made anew"
        return DecodedHandle(form="nfs", verdict=Meaning.FOREIGN_FSID, reason=reason, fsid=form.fsid)

    async def _any(self, form: MountHandle | SourceHandle, records: list[ShareRecord]) -> DecodedHandle:
        kind = "mount" if isinstance(form, MountHandle) else "native"
        answers = await asyncio.gather(*(self._ask(record, form) for record in records))
        told = [_told(kind, answer, record) for answer, record in zip(answers, records, strict=True)]
        if not told:
            return DecodedHandle.model_validate(
                {"form": kind, "verdict": Meaning.UNKNOWN, "reason": "there is no share that it could be of"}
            )
        return min(told, key=_rank)

    async def _ask(self, record: ShareRecord, form: MountHandle | SourceHandle) -> Decoded:
        handle = form.handle if isinstance(form, MountHandle) else form
        try:
            reached = access(self._settings, self._executor, record.share.name)
            revoked = await in_thread(lambda: self._store.revoked_keys(record.identity.fsid))
            order = DecodeOrder(
                share=reached.model_copy(update={"revoked": revoked}),
                form="mount" if isinstance(form, MountHandle) else "source",
                type=handle.type,
                data=handle.data,
            )
            async with self._slots:
                async for answer in checker.ask(order, _PATIENCE_SECONDS):
                    if isinstance(answer, Answered):
                        return answer.decoded
        except RequestError as error:
            return Decoded(Meaning.NOT_SERVED, error.message)
        except CheckError as error:
            return Decoded(Meaning.NO_ANSWER, error.message)
        return Decoded(Meaning.NO_ANSWER, "the checker ended without a result")


def _rank(found: DecodedHandle) -> int:
    return _ORDER.index(found.verdict)


def _told(form: str, decoded: Decoded, record: ShareRecord, fsid: UUID | None = None) -> DecodedHandle:
    native = decoded.native
    # Every share's root has the same handle on its mount, so without an fsid it belongs to none.
    vague = form == "mount" and decoded.node == ROOT
    return DecodedHandle.model_validate(
        {
            "form": form,
            "verdict": decoded.meaning,
            "reason": "the root of a share, of whichever: only an NFS file handle says" if vague else decoded.reason,
            "share": None if vague or (decoded.meaning is Meaning.UNKNOWN and fsid is None) else record.share.name,
            "fsid": fsid,
            "node_id": None if decoded.node is None else f"{decoded.node:#x}",
            "generation": None if decoded.generation is None else f"{decoded.generation:#010x}",
            "native_type": native.type if native else None,
            "native": native.data.hex() if native else None,
            "inode": decoded.inode,
            "paths": tuple(map(printable, decoded.paths)),
            "paths_complete": decoded.paths_complete,
        }
    )


