"""XDR (RFC 4506), as much of it as NFS needs here: big-endian numbers, and opaque bytes padded to four."""

from __future__ import annotations

import errno
import struct


def uint(*values: int) -> bytes:
    """Return 32-bit numbers."""
    return struct.pack(f">{len(values)}I", *values)


def uint64(value: int) -> bytes:
    """Return a 64-bit number."""
    return struct.pack(">Q", value)


def opaque(data: bytes) -> bytes:
    """Return bytes with their length in front."""
    return uint(len(data)) + data + bytes(-len(data) % 4)


class Reader:
    """Takes a message apart from front to back. What is too short raises OSError, EBADMSG."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fixed(self, size: int) -> bytes:
        """Return so many bytes; their number is a multiple of four."""
        if size < 0 or self._at + size > len(self._data):
            raise OSError(errno.EBADMSG, "a message is shorter than it says")
        found = self._data[self._at : self._at + size]
        self._at += size
        return found

    def uint(self) -> int:
        """Return a 32-bit number."""
        return int.from_bytes(self.fixed(4), "big")

    def uint64(self) -> int:
        """Return a 64-bit number."""
        return int.from_bytes(self.fixed(8), "big")

    def int64(self) -> int:
        """Return a signed 64-bit number."""
        return int.from_bytes(self.fixed(8), "big", signed=True)

    def opaque(self) -> bytes:
        """Return bytes that have their length in front."""
        size = self.uint()
        data = self.fixed(size + -size % 4)
        return data[:size]
