"""What is stored of shares.

fsids. A share's fsid is part of every NFS file handle of it, so it must never come to mean something else. With it go
the key and the codec of its handles. The three belong to a name, a source and the filesystem there; they are made once
and kept when the share goes. Whoever makes the same share again gets the same ones, and handles of old go on working.
Another source, or another filesystem at the same place, gets new ones, since the same node ids name other files there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NewType
from uuid import UUID

from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.source_id import Backing, SourceId
from appliance.model import Owner, Share

Fsid = NewType("Fsid", UUID)
"""The identity of a share in its clients' file handles."""


@dataclass(frozen=True)
class Identity:
    """What a share's handles depend on: it stays the same for as long as any handle may be about."""

    fsid: Fsid
    codec: CodecChoice
    key: bytes = field(repr=False)
    # Not compared: it may be learned later, and where it is another one, the fsid is as well.
    source_id: SourceId | None = field(default=None, compare=False)


@dataclass(frozen=True)
class ShareRecord:
    """A share as stored; times are seconds since the epoch."""

    share: Share
    identity: Identity
    created: float
    changed: float
    owner: Owner = "api"

    @property
    def revision(self) -> str:
        """What differs whenever what people wrote differs, and stays the same as long as it does."""
        text = f"{self.share.model_dump_json()} {self.identity.fsid} {self.owner}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Put:
    """A share as it shall be; with what its source was found to be if the share or its source is new."""

    share: Share
    backing: Backing | None = None
    owner: Owner = "api"


def record(document: str, created: float, changed: float, owner: Owner, *parts: Any) -> ShareRecord:
    """Return a share as a row has it."""
    return ShareRecord(Share.model_validate_json(document), identity(*parts), created, changed, owner)


def identity(fsid: str, codec: str, key: bytes, source_id: str | None) -> Identity:
    """Return an identity as a row has it."""
    known = SourceId.from_json(source_id) if source_id else None
    return Identity(Fsid(UUID(fsid)), CodecChoice.from_json(codec), key, known)
