"""What shares must satisfy besides their own rules: beside the other shares, on this machine. Changes nothing."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from appliance.errors import RequestError, SourceError
from appliance.fuse.source_id import Backing
from appliance.model import Share, overlap
from appliance.nfs import protection
from appliance.settings import Settings
from appliance.state.records import ShareRecord
from appliance.supervisor.datapath import DataPath
from appliance.supervisor.threads import in_thread


class Admission:
    """Says whether shares can be served as they are wanted."""

    def __init__(self, settings: Settings, data_path: DataPath) -> None:
        self._settings = settings
        self._data_path = data_path

    async def admit(
        self, wanted: Sequence[Share], removed: Collection[str], there: Mapping[str, ShareRecord]
    ) -> dict[str, Backing]:
        """Return what new sources were found to be, by share. Raises RequestError that names what cannot be."""
        final = {name: record.share for name, record in there.items() if name not in removed}
        final |= {share.name: share for share in wanted}
        old = {share.name: there[share.name].share if share.name in there else None for share in wanted}

        def check() -> dict[str, Backing]:
            for share in wanted:
                before = old[share.name]
                if before is None or share.clients != before.clients:
                    protection.check(share.clients)
            self._check_paths([share for share in wanted if _differ(share, old[share.name], "export_path")], final)
            fresh = [share for share in wanted if _needs_proof(share, old[share.name])]
            self._check_sources(fresh, final)
            return {share.name: self._prove(share) for share in fresh}

        return await in_thread(check)

    async def prove(self, name: str, there: Mapping[str, ShareRecord]) -> Backing:
        """Return what a share's source is now; raises RequestError if it cannot be served."""
        final = {each: record.share for each, record in there.items()}

        def check() -> Backing:
            self._check_sources([final[name]], final)
            return self._prove(final[name])

        return await in_thread(check)

    def _check_paths(self, wanted: Sequence[Share], final: Mapping[str, Share]) -> None:
        paths = {name: share.export_path for name, share in final.items()}
        for name, other in _overlapping([share.name for share in wanted], paths):
            raise RequestError(
                f"nfs_path: {paths[name]} and {paths[other]}, where clients find {other}, contain one another",
                "choose paths that lie side by side",
                code="nfs-path-taken",
                field="nfs_path",
            )

    def _check_sources(self, wanted: Sequence[Share], final: Mapping[str, Share]) -> None:
        if not wanted:
            return
        real = {name: os.path.realpath(share.source) for name, share in final.items()}
        for share in wanted:
            self._check_reserved(real[share.name])
        for name, other in _overlapping([share.name for share in wanted], real):
            raise RequestError(
                f"source: {final[name].source} and {final[other].source}, the source of {other}, contain one another",
                "share directories that lie side by side, or one directory only",
                code="source-overlaps",
                field="source",
            )

    def _prove(self, share: Share) -> Backing:
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


def _needs_proof(share: Share, old: Share | None) -> bool:
    return old is None or share.source != old.source or (share.enabled and not old.enabled)


def _differ(share: Share, old: Share | None, attribute: str) -> bool:
    return old is None or getattr(share, attribute) != getattr(old, attribute)


def _overlapping(names: Collection[str], paths: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each of these names with another one whose path is the same, contains it or lies in it."""
    owners: dict[str, list[str]] = {}
    inside: dict[str, list[str]] = {}
    for name, path in paths.items():
        owners.setdefault(path, []).append(name)
        for parent in _parents(path):
            inside.setdefault(parent, []).append(name)
    for name in names:
        path = paths[name]
        for place in (path, *_parents(path)):
            yield from ((name, other) for other in owners.get(place, ()) if other != name)
        yield from ((name, other) for other in inside.get(path, ()))


def _parents(path: str) -> Iterator[str]:
    while (parent := posixpath.dirname(path)) != path:
        yield parent
        path = parent
