"""Samples: handles as they were given out, with what the files were then. Values, and which of them to keep."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.linux.handles import NativeHandle

_OLD_SHARE = 0.5  # of the sample is never given up for something newer
_DELETED_SHARE = 0.1  # of the sample may be handles of deleted files: they have to go on being stale


@dataclass(frozen=True)
class Sample:
    """One file: the handle a client may hold for it, and what it must name for ever.

    Times are nanoseconds since the epoch, `taken` and `deleted` are seconds; `birth` is 0 where the filesystem keeps
    none. `path` is relative to the share's root, which is the empty path.
    """

    handle: NativeHandle
    """The kernel's handle on the FUSE mount: node id and generation."""
    native: NativeHandle
    inode: int
    type: int
    birth: int
    size: int
    mtime: int
    path: bytes
    fsid: str
    key: str
    """`key_id` of the key that was in force."""
    taken: float
    deleted: float | None = None


def key_id(key: bytes) -> str:
    """Return what a key is known by without telling it."""
    return hashlib.blake2b(key, digest_size=8, person=b"holdfast-key").hexdigest()


def keep(samples: Sequence[Sample], capacity: int, dice: random.Random) -> list[Sample]:
    """Return at most `capacity` of the samples: the root, the oldest half, and some of the others by lot.

    What is kept of deleted files is kept for a while: the newest of them, up to a tenth.
    """
    deleted = sorted((sample for sample in samples if sample.deleted is not None), key=_when_deleted, reverse=True)
    deleted = deleted[: int(capacity * _DELETED_SHARE)]
    living = sorted((sample for sample in samples if sample.deleted is None), key=_age_order)
    room = capacity - len(deleted)
    if len(living) > room:
        old = living[: int(room * _OLD_SHARE)]
        living = old + dice.sample(living[len(old) :], room - len(old))
    return living + deleted


def _age_order(sample: Sample) -> tuple[bool, float]:
    return sample.path != b"", sample.taken  # the root is always first


def _when_deleted(sample: Sample) -> float:
    return sample.deleted or 0.0


def to_text(sample: Sample) -> str:
    """Return a sample as one line of JSON."""
    fields = {**vars(sample), "handle": _handle_text(sample.handle), "native": _handle_text(sample.native)}
    return json.dumps({**fields, "path": sample.path.hex()})


def from_text(text: str) -> Sample:
    """Read what `to_text` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    fields = json.loads(text)
    handles = {name: _handle_of(fields[name]) for name in ("handle", "native")}
    return Sample(**{**fields, **handles, "path": bytes.fromhex(fields["path"])})


def _handle_text(handle: NativeHandle) -> str:
    return f"{handle.type}:{handle.data.hex()}"


def _handle_of(text: str) -> NativeHandle:
    kind, _, data = text.partition(":")
    return NativeHandle(int(kind), bytes.fromhex(data))
