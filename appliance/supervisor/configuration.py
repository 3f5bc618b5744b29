"""The whole configuration: told, and changed at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from appliance.control.config import (
    ApplyConfig,
    ConfigFileReply,
    ConfigReply,
    ConfigRequest,
    GetConfig,
    GetConfigFile,
    PreviewReply,
)
from appliance.control.messages import Done, Reply
from appliance.errors import RequestError
from appliance.model import Config, Share
from appliance.state.records import ShareRecord
from appliance.supervisor.changes import Change, Changes, check_match
from appliance.supervisor.shares_file import SharesFile


class Configuration:
    """Answers what is asked about all shares at once."""

    def __init__(self, changes: Changes, file: SharesFile) -> None:
        self._changes = changes
        self._file = file

    async def answer(self, request: ConfigRequest) -> Reply:
        """Do what is asked and return the reply; raises HoldfastError, and then nothing has changed."""
        match request:
            case GetConfig():
                async with self._changes.turn() as there:
                    shares = tuple(record.share for record in there.values())
                    return ConfigReply(config=Config(shares=shares), revision=_revision(there))
            case GetConfigFile():
                return ConfigFileReply(status=self._file.status)
            case ApplyConfig():
                return await self._apply(request)

    async def _apply(self, request: ApplyConfig) -> Reply:
        async with self._changes.turn() as there:
            check_match(request.match, _revision(there), "the configuration")
            change = towards(request.config, there)
            if request.dry_run:
                return PreviewReply(preview=await self._changes.rehearse(change, there))
            if change != Change():
                await self._changes.make(change, there)
        return Done()


def towards(config: Config, there: Mapping[str, ShareRecord]) -> Change:
    """Return the change that makes REST's shares these. What the file owns may be in the list, as it is."""
    owned = {name: record.share for name, record in there.items() if record.owner == "file"}
    wanted = {share.name: share for share in config.shares}
    for name, share in owned.items():
        if name in wanted and wanted[name] != share:
            raise RequestError(
                f"{name} belongs to the file with shares, where it is not as it is here",
                "change it in the file, or leave it out here",
                code="owned-by-file",
                field="shares",
            )
    return Change(
        puts=tuple(share for share in config.shares if share.name not in owned and _is_other(share, there)),
        removed=tuple(name for name in there if name not in owned and name not in wanted),
    )


def _is_other(share: Share, there: Mapping[str, ShareRecord]) -> bool:
    return share.name not in there or there[share.name].share != share


def _revision(there: Mapping[str, ShareRecord]) -> str:
    text = " ".join(f"{name} {record.revision}" for name, record in sorted(there.items()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
