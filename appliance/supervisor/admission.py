"""What a share must satisfy besides its own rules: beside the other shares, on this machine. Changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.errors import RequestError, SourceError
from appliance.fuse.source_id import Backing
from appliance.model import Share, overlap
from appliance.nfs import protection
from appliance.settings import Settings
from appliance.store import Store
from appliance.supervisor.datapath import DataPath
from appliance.supervisor.threads import in_thread


class Admission:
    """Says whether a share can be served as it is wanted."""

    def __init__(self, settings: Settings, store: Store, data_path: DataPath) -> None:
        self._settings = settings
        self._store = store
        self._data_path = data_path

    async def admit(self, share: Share, old: Share | None = None) -> Backing | None:
        """Return what the share's source is, None if the source stays and is served.

        `old` is the share as it was. Raises RequestError that names the field which cannot be.
        """
        others = await self._others(share)
        if old is None or share.export_path != old.export_path:
            self._check_path(share, others)
        if old is None or share.clients != old.clients:
            await in_thread(lambda: protection.check(share.clients))
        if old is not None and share.source == old.source and not (share.enabled and not old.enabled):
            return None
        return await in_thread(lambda: self._check_source(share, others))

    async def prove(self, share: Share) -> Backing:
        """Return what a share's source is now; raises RequestError if it cannot be served."""
        others = await self._others(share)
        return await in_thread(lambda: self._check_source(share, others))

    async def _others(self, share: Share) -> list[Share]:
        return [record.share for record in await in_thread(self._store.shares) if record.share.name != share.name]

    def _check_path(self, share: Share, others: list[Share]) -> None:
        for other in others:
            if overlap(share.export_path, other.export_path):
                raise RequestError(
                    f"nfs_path: {share.export_path} and {other.export_path}, where clients find {other.name}, contain "
                    "one another",
                    "choose paths that lie side by side",
                    code="nfs-path-taken",
                    field="nfs_path",
                )

    def _check_source(self, share: Share, others: list[Share]) -> Backing:
        source = os.path.realpath(share.source)
        self._check_reserved(source)
        for other in others:
            if overlap(source, os.path.realpath(other.source)):
                raise RequestError(
                    f"source: {share.source} and {other.source}, the source of {other.name}, contain one another",
                    "share directories that lie side by side, or one directory only",
                    code="source-overlaps",
                    field="source",
                )
        try:
            return self._data_path.prove(Path(share.source))
        except SourceError as error:
            raise RequestError(error.message, error.hint, code=error.code, field="source") from error

    def _check_reserved(self, source: str) -> None:
        for directory in (self._settings.state_dir, self._settings.run_dir, self._settings.exports_dir):
            if overlap(source, os.path.realpath(directory)):
                raise RequestError(
                    f"source: {source} contains or lies in {directory}, which is the appliance's own",
                    "share a directory of data",
                    code="source-reserved",
                    field="source",
                )
