"""Handles as an NFS client holds them. Usage: handle.py FILE prints one in hex; handle.py --open ROOT FILE compares.

`--save LIST FILE...` writes handles and contents down, `--compare LIST ROOT` opens the handles on the mount at ROOT and
says for how many the content is the same.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from pathlib import Path

_HEADER = struct.Struct("=Ii")
_libc = ctypes.CDLL(None, use_errno=True)


def _take(path: str) -> bytes:
    buffer = ctypes.create_string_buffer(_HEADER.pack(128, 0), _HEADER.size + 128)
    mount_id = ctypes.c_int()
    if _libc.name_to_handle_at(-100, os.fsencode(path), buffer, ctypes.byref(mount_id), 0) != 0:
        raise OSError(ctypes.get_errno(), path)
    size, _ = _HEADER.unpack_from(buffer)
    return buffer.raw[: _HEADER.size + size]


def _content(root: int, handle: bytes) -> bytes:
    descriptor = _libc.open_by_handle_at(root, ctypes.create_string_buffer(handle), os.O_RDONLY)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), handle.hex())
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def main() -> None:
    """Print, save or compare."""
    match sys.argv[1:]:
        case ["--save", kept, *paths]:
            saved = [(_take(path).hex(), Path(path).read_bytes().hex()) for path in paths]
            Path(kept).write_text(json.dumps(saved))
        case ["--compare", kept, where]:
            root = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
            saved = json.loads(Path(kept).read_text())
            for handle, content in saved:
                assert _content(root, bytes.fromhex(handle)).hex() == content
            print(f"{len(saved)} the same")
        case [path]:
            print(_take(path).hex())


if __name__ == "__main__":
    main()
