"""Which codec a source needs: found by asking the filesystem, never by its name, and kept with the share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from appliance.errors import SourceError
from appliance.fuse.codecs import btrfs, ino32, xfs
from appliance.fuse.nodes import Codec, NodeId, Outside
from appliance.linux import handles, process
from appliance.linux import xfs as xfs_ioctl
from appliance.linux.handles import NativeHandle

OTHER_SOURCE_HINT = (
    "mount there what the share was made for; or, if this is meant to be served from now on, say so with "
    "POST /v1/shares/NAME/accept-source: all handles given out before are stale then"
)


class Kind(StrEnum):
    """The kinds of codec there are."""

    INO32 = "ino32"
    XFS = "xfs"
    BTRFS = "btrfs"
    TABLE = "table"


@dataclass(frozen=True)
class CodecChoice:
    """A kind with what it depends on: XFS's split of the node id, the btrfs subvolume."""

    kind: Kind
    inode_bits: int = 0
    subvolume: int = 0

    @classmethod
    def from_json(cls, text: str) -> CodecChoice:
        """Read what `to_json` wrote."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> CodecChoice:
        """Read what dataclasses.asdict made."""
        return cls(**{**fields, "kind": Kind(fields["kind"])})

    def to_json(self) -> str:
        """Return it as text that stays readable."""
        return json.dumps(asdict(self))


def probe(descriptor: int) -> CodecChoice:
    """Choose the codec for the filesystem of an open directory. Raises OSError if it gives no handles."""
    handle = handles.name_to_handle(descriptor)
    if (bits := xfs_ioctl.inode_bits(descriptor)) is not None and xfs.fits(handle):
        return CodecChoice(Kind.XFS, inode_bits=xfs.split(bits))
    if btrfs.fits(handle):
        return CodecChoice(Kind.BTRFS, subvolume=btrfs.subvolume_of(handle))
    if ino32.fits(handle) and ino32.inode_number(handle) == os.stat(descriptor).st_ino:
        return CodecChoice(Kind.INO32)
    return CodecChoice(Kind.TABLE)


def confirm(kept: CodecChoice, found: CodecChoice, path: Path) -> None:
    """See that a source is still what its share was made for. Raises SourceError.

    Another codec would give other node ids to the same files, and theirs to others.
    """
    if (kept.kind, kept.subvolume) != (found.kind, found.subvolume):
        raise SourceError(
            f"the filesystem of {path} was {_describe(kept)} and is now {_describe(found)}",
            OTHER_SOURCE_HINT,
            code="source-changed",
        )


def _describe(choice: CodecChoice) -> str:
    return f"{choice.kind} (subvolume {choice.subvolume})" if choice.kind is Kind.BTRFS else str(choice.kind)


def build(choice: CodecChoice, source: int, table: str) -> Codec:
    """Return the codec for an open source; `table` is the path of the table, if it is one that needs it."""
    match choice.kind:
        case Kind.INO32:
            return ino32.Ino32Codec()
        case Kind.XFS:
            sys_admin = process.Raised(process.CAP_SYS_ADMIN)
            return xfs.XfsCodec(choice.inode_bits, partial(_xfs_generation, sys_admin, source))
        case Kind.BTRFS:
            return btrfs.BtrfsCodec(choice.subvolume)
        case Kind.TABLE:
            # SQLite costs each worker memory that only this codec needs.
            from appliance.fuse.codecs.table import TableCodec

            return TableCodec(Path(table))


def finder(choice: CodecChoice, source: int, table: str) -> Callable[[NativeHandle], NodeId | None]:
    """Return a function that tells an inode's node id, None for one that has none or was never given one."""
    if choice.kind is Kind.TABLE:
        from appliance.fuse.codecs.table import TableCodec

        return TableCodec(Path(table)).find
    codec = build(choice, source, table)

    def find(handle: NativeHandle) -> NodeId | None:
        try:
            return codec.encode(handle).node
        except (Outside, OverflowError):
            return None

    return find


def _xfs_generation(sys_admin: process.Raised, source: int, inode: int) -> int | None:
    with sys_admin:  # for this one question only: with it, a worker would see trusted.* attributes, for instance
        return xfs_ioctl.generation(source, inode)


def needs_sys_admin(choice: CodecChoice) -> bool:
    """Tell whether a worker must be able to raise CAP_SYS_ADMIN: XFS tells generations (bulkstat) to nobody else."""
    return choice.kind is Kind.XFS and 64 - choice.inode_bits < xfs.GENERATION_BITS
