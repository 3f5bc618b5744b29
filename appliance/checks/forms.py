"""The forms in which a file handle meets an administrator, taken apart and put together. Pure functions.

- An NFS file handle as knfsd makes it, which is what packet captures and clients' logs show: four bytes (version 1,
  no authentication, fsid type, fileid type), the fsid, the fileid.
- The Linux NFS client's own handle of a file on its mount, which has the server's in it (fs/nfs/export.c).
- The kernel's handle of a file on the FUSE mount.
- A native handle of the source's filesystem.

The last three may come as bare bytes or as `struct file_handle` (length and type in front).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from appliance.checks import fileid
from appliance.errors import RequestError
from appliance.fuse.nodes import ROOT
from appliance.linux.handles import NativeHandle

MAX_BYTES = 128 + 8  # the largest handle, and the head of struct file_handle

_KNFSD_VERSION = 1
_FILEID_ROOT = 0
_UUID16 = 6  # the export's root is its filesystem's root, as it is for every share
_UUID16_INUM = 7
# fsid type -> its size; the types of exports without a UUID are known so that they can be called foreign.
_FSID_SIZES = {0: 8, 1: 4, 2: 12, 3: 8, 4: 8, 5: 8, _UUID16: 16, _UUID16_INUM: 24}
_KNFSD_HEAD = struct.Struct("=BBBB")
_FILE_HANDLE = struct.Struct("=Ii")
_CLIENT_HEAD = struct.Struct("=IIIH")  # fileid's halves, type; then struct nfs_fh: size and the server's handle


@dataclass(frozen=True)
class NfsHandle:
    """An NFS file handle. `fsid` is None for one that has no UUID in it; `handle` is None for an export's root."""

    fsid: UUID | None
    handle: NativeHandle | None


@dataclass(frozen=True)
class MountHandle:
    """A handle on some share's FUSE mount."""

    handle: NativeHandle


@dataclass(frozen=True)
class SourceHandle:
    """A native handle; its type is None if only its bytes are known."""

    type: int | None
    data: bytes


Form = NfsHandle | MountHandle | SourceHandle


def parse_hex(text: str) -> bytes:
    """Read hexadecimal digits as people paste them: with 0x, colons, spaces. Raises RequestError."""
    digits = re.sub(r"[\s:_-]|0[xX]", "", text)
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        raise _invalid("not an even number of hexadecimal digits") from None
    if not 4 <= len(data) <= MAX_BYTES:
        raise _invalid(f"a handle has from 4 to {MAX_BYTES} bytes, this has {len(data)}")
    return data


def _invalid(message: str) -> RequestError:
    return RequestError(f"hex: {message}", "paste the whole handle", field="hex", code="handle-invalid")


def readings(data: bytes) -> Iterator[Form]:
    """Yield everything that the bytes may be, the likeliest first."""
    if (nfs := parse_nfs(data)) is not None:
        yield nfs
    if len(data) > _FILE_HANDLE.size:
        size, kind = _FILE_HANDLE.unpack_from(data)
        if size == len(data) - _FILE_HANDLE.size:
            handle = NativeHandle(kind, data[_FILE_HANDLE.size :])
            if (nfs := of_client(handle)) is not None:
                yield nfs
            if fileid.fits(handle):
                yield MountHandle(handle)
            yield SourceHandle(handle.type, handle.data)
            return
    for kind in (fileid.INO64_GEN, fileid.INO64_GEN_PARENT):
        handle = NativeHandle(kind, data)
        if fileid.fits(handle):
            yield MountHandle(handle)
    yield SourceHandle(None, data)


def parse_nfs(data: bytes) -> NfsHandle | None:
    """Read an NFS file handle of knfsd, None if it is none."""
    if len(data) < _KNFSD_HEAD.size:
        return None
    version, authentication, fsid_type, kind = _KNFSD_HEAD.unpack_from(data)
    size = _FSID_SIZES.get(fsid_type)
    if version != _KNFSD_VERSION or authentication != 0 or size is None or len(data) < _KNFSD_HEAD.size + size:
        return None
    fsid, rest = data[_KNFSD_HEAD.size :][:size], data[_KNFSD_HEAD.size + size :]
    handle = NativeHandle(kind, rest)
    if kind == _FILEID_ROOT and not rest:
        return NfsHandle(_uuid(fsid_type, fsid), None)
    return NfsHandle(_uuid(fsid_type, fsid), handle) if rest else None


def _uuid(fsid_type: int, fsid: bytes) -> UUID | None:
    return UUID(bytes=fsid[-16:]) if fsid_type in (_UUID16, _UUID16_INUM) else None


def of_client(handle: NativeHandle) -> NfsHandle | None:
    """Take the server's handle out of the one a Linux NFS client has for a file, None if there is none in it."""
    if len(handle.data) < _CLIENT_HEAD.size or handle.type != len(handle.data) // 4:
        return None
    _, _, _, size = _CLIENT_HEAD.unpack_from(handle.data)
    return parse_nfs(handle.data[_CLIENT_HEAD.size :][:size])


def nfs_handle(handle: NativeHandle, fsid: UUID) -> bytes:
    """Return the NFS file handle of the file that has `handle` on a share's mount."""
    root = fileid.node_of(handle) == ROOT
    kind, rest = (_FILEID_ROOT, b"") if root else (handle.type, handle.data)
    return _KNFSD_HEAD.pack(_KNFSD_VERSION, 0, _UUID16, kind) + fsid.bytes + rest


def root_handle() -> NativeHandle:
    """Return the handle of the root of every mount."""
    return fileid.encode(ROOT, 0)
