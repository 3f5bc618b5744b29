"""Which directory of which filesystem a source is: kept with the share, and proved before the share is served.

A path proves nothing. When a filesystem is not mounted, the directory below is found at its path; it may be of the same
kind, and then its files would be served under the handles of others.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from appliance.errors import SourceError
from appliance.fuse.codecs.choice import OTHER_SOURCE_HINT, CodecChoice, Kind
from appliance.linux import filesystem, handles
from appliance.linux.statx import statx

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class SourceId:
    """The root directory's native handle and birth (nanoseconds since the epoch), and its filesystem's uuid in hex.

    A birth of 0 and an empty uuid mean that the filesystem has none.
    """

    type: int
    handle: str
    birth: int
    uuid: str

    @classmethod
    def of(cls, descriptor: int, codec: CodecChoice) -> SourceId:
        """Read it from an open directory, whose files need this codec. Raises OSError."""
        native = handles.name_to_handle(descriptor)
        # An overlay passes on the birth of one of its layers, and of another one after a copy up.
        birth = 0 if codec.kind is Kind.TABLE else statx(descriptor).birth
        uuid = filesystem.uuid(descriptor).hex()
        if codec.kind is Kind.BTRFS and not uuid:
            # Btrfs makes statfs's fsid of its uuid and the subvolume. Others make it of the device's number.
            uuid = f"{os.fstatvfs(descriptor).f_fsid:016x}"
        return cls(native.type, native.data.hex(), birth, uuid)

    @classmethod
    def from_json(cls, text: str) -> SourceId:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    def is_proved_by(self, found: SourceId) -> bool:
        """Whether what was found is this. What was not known then cannot be compared."""
        if (self.type, self.handle) != (found.type, found.handle):
            return False
        return self.birth in (0, found.birth) and self.uuid in ("", found.uuid)

    def __str__(self) -> str:
        birth = datetime.fromtimestamp(self.birth / _NANOSECONDS, UTC)
        made = f", made {birth:%Y-%m-%d %H:%M:%S}" if self.birth else ""
        return f"directory {self.type:#x}:{self.handle}{made} of filesystem {self.uuid or 'without uuid'}"


class Backing(NamedTuple):
    """What a source was found to be."""

    codec: CodecChoice
    id: SourceId


def confirm(kept: SourceId, found: SourceId, path: Path) -> None:
    """Raise SourceError `source-changed` unless what is at `path` is what the share was made for."""
    if not kept.is_proved_by(found):
        raise SourceError(
            f"another directory is at {path}: expected was {kept}, found is {found}",
            OTHER_SOURCE_HINT,
            code="source-changed",
        )
