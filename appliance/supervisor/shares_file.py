"""The file `shares.yaml`: applied at the start and whenever it changes, whole or not at all.

It owns the shares that it lists: REST refuses to change them, and one that is taken out of the list is removed. While
the file is refused, or is not there, what it owned stays as it was: a missing mount must not end shares.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from appliance import config_text
from appliance.control.config import FileStatus
from appliance.errors import HoldfastError, RequestError
from appliance.logs import facts
from appliance.model import ConfigFile
from appliance.settings import Settings
from appliance.state.events import Events
from appliance.state.records import ShareRecord
from appliance.supervisor.changes import Change, Changes
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
_AGAIN_SECONDS = 15.0  # what the file was refused for may be mended elsewhere: a source that is mounted late
_ABSENT: tuple[int, ...] = ()


class SharesFile:
    """Watches the file and applies it."""

    def __init__(self, settings: Settings, changes: Changes, events: Events) -> None:
        self._path = settings.config_file
        self._interval = settings.config_interval
        self._changes = changes
        self._events = events
        self._seen: tuple[int, ...] | None = None
        self._refused_at = 0.0
        self.status = FileStatus(path=str(self._path), state="absent", owns="listed", shares=(), since=time.time())

    async def run(self) -> None:
        """Look at the file again and again. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self.look()

    async def look(self) -> None:
        """Apply the file if it is another than it was, or was refused a while ago. Raises nothing."""
        try:
            found = await in_thread(lambda: _identity(self._path))
            retry = self.status.state == "refused" and time.monotonic() - self._refused_at > _AGAIN_SECONDS
            if found == self._seen and not retry:
                return
            self._seen = found
            if found == _ABSENT:
                await self._is_absent()
            else:
                await self._apply(await in_thread(lambda: config_text.parse(_read(self._path))))
        except Exception as error:  # noqa: BLE001 - a file that brings out a defect ends no share, nor its own watch
            self._refused(error)

    async def _apply(self, file: ConfigFile) -> None:
        async with self._changes.turn() as there:
            change = towards(file, there)
            if change.puts or change.removed:
                await self._changes.make(change, there)
                self._events.add("config-file-applied", _sentence(change))
            self._changes.file_owns_all = file.owns == "all"
            names = tuple(sorted(share.name for share in file.shares))
        if self.status.state != "applied" or self.status.shares != names or self.status.owns != file.owns:
            _LOG.info("the file with shares is in force", path=self._path, shares=len(names), owns=file.owns)
        self._tell("applied", owns=file.owns, shares=names)

    async def _is_absent(self) -> None:
        async with self._changes.turn() as there:
            names = tuple(sorted(name for name, record in there.items() if record.owner == "file"))
        if names:
            _LOG.warning("the file with shares is not there; the shares it owns stay", path=self._path, shares=names)
        self._tell("absent", owns=self.status.owns, shares=names)

    def _refused(self, error: Exception) -> None:
        self._refused_at = time.monotonic()
        message, hint = _reason(error)
        if self.status.state != "refused" or self.status.reason != message:
            _LOG.error("the file with shares is refused; what was in force stays", path=self._path, reason=message)
            self._events.add("config-file-refused", message)
            self._tell("refused", owns=self.status.owns, shares=self.status.shares, reason=message, hint=hint)

    def _tell(self, state: str, **more: object) -> None:
        told = {"path": str(self._path), "state": state, "since": time.time(), **more}
        new = FileStatus.model_validate(told)
        if new.model_copy(update={"since": self.status.since}) != self.status:
            self.status = new


def towards(file: ConfigFile, there: Mapping[str, ShareRecord]) -> Change:
    """Return the change that puts a file in force. A share of REST's that the file lists becomes the file's."""
    wanted = {share.name: share for share in file.shares}
    return Change(
        puts=tuple(
            share
            for name, share in wanted.items()
            if name not in there or there[name].owner != "file" or there[name].share != share
        ),
        removed=tuple(
            name
            for name, record in there.items()
            if name not in wanted and (record.owner == "file" or file.owns == "all")
        ),
        by="file",
    )


def _reason(error: Exception) -> tuple[str, str]:
    """Return what a file is refused for, and what mends it."""
    match error:
        case HoldfastError():
            return error.message, error.hint
        case OSError():
            return f"it cannot be read: {error.strerror}", "see that it is a plain file"
        case _:
            return f"it cannot be applied: {error!a}", "this is a defect of the appliance"


def _sentence(change: Change) -> str:
    parts = [f"put {', '.join(share.name for share in change.puts)}"] if change.puts else []
    parts += [f"removed {', '.join(change.removed)}"] if change.removed else []
    return f"the file with shares was applied: {'; '.join(parts)}"[:1000]


def _identity(path: Path) -> tuple[int, ...]:
    """What is another when somebody has written the file, or put another in its place."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _ABSENT
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # of a pipe nobody waits for a writer
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RequestError("it is not a plain file", "mount the directory that the file is in, not the file")
        return file.read(config_text.MAX_BYTES + 1)
