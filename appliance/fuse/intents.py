"""Intents: what makes an operation happen once although its request is served twice.

A worker that is killed between a system call and its reply leaves a request that the kernel will send again, and a
second mkdir would say EEXIST. So before any operation that must not be repeated the worker writes down what it is
about to do and what it found before. If it dies, the next worker to get the request finds the intent and
reads from the filesystem whether the operation had happened, and answers as the first would have.

Requests are told apart by operation, directory and name. That is exact: the kernel holds the directory's lock from
sending such a request to getting its answer, so no second one for the same directory can be on its way. For the same
reason, any *other* change of that directory shows that the request will not come again, and the intent is dropped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from appliance.fuse.nodes import NodeId
from appliance.fuse.scoreboard import Scoreboard, Slot

_FIXED = struct.Struct("=BQQQQIHH")


class Change(IntEnum):
    """The operations that change a directory."""

    MKNOD = 1
    MKDIR = 2
    SYMLINK = 3
    LINK = 4
    UNLINK = 5
    RMDIR = 6
    RENAME = 7
    CREATE = 8


@dataclass(frozen=True)
class Intent:
    """One change of a directory about to be made.

    `before` is the inode that the name had when the operation began, 0 for none. RENAME has a second directory and
    name, `new_before` being what the new name had, and renameat2's flags.
    """

    change: Change
    directory: NodeId
    name: bytes
    before: int = 0
    new_directory: int = 0
    new_name: bytes = b""
    new_before: int = 0
    flags: int = 0

    def pack(self) -> bytes:
        """Return the intent as bytes."""
        fixed = _FIXED.pack(
            self.change,
            self.directory,
            self.before,
            self.new_directory,
            self.new_before,
            self.flags,
            len(self.name),
            len(self.new_name),
        )
        return fixed + self.name + self.new_name

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what `pack` wrote."""
        change, directory, before, new_directory, new_before, flags, size, new_size = _FIXED.unpack_from(data)
        names = data[_FIXED.size :]
        name, new_name = names[:size], names[size : size + new_size]
        return cls(Change(change), NodeId(directory), name, before, new_directory, new_name, new_before, flags)

    def same_request(self, other: Intent) -> bool:
        """Whether both speak of the same request, whatever each found on the filesystem."""
        return (self.change, self.directory, self.name, self.new_directory, self.new_name, self.flags) == (
            other.change,
            other.directory,
            other.name,
            other.new_directory,
            other.new_name,
            other.flags,
        )

    def touches(self, directory: int) -> bool:
        """Whether the change is made in this directory."""
        return directory in (self.directory, self.new_directory)


class Intents:
    """One worker's view: its own intent, and those that the dead have left."""

    def __init__(self, board: Scoreboard, slot: Slot) -> None:
        self._board = board
        self._slot = slot

    def begin(self, intent: Intent) -> Intent | None:
        """Record `intent`; return the one a dead worker left for the same request, if this is its second time.

        What the dead worker found before it began is then what counts, so that is what is recorded anew.
        """
        earlier = self._take_over(intent) if self._board.recovered else None
        if earlier is None:
            self._slot.write_intent(intent.pack())
        return earlier

    def _take_over(self, intent: Intent) -> Intent | None:
        match = None
        for index, data in self._board.recovered_intents():
            left = Intent.unpack(data)
            if left.same_request(intent):
                # Own copy first: this worker may die as well, and then both may be there, but never none.
                self._slot.write_intent(data)
                match = left
            elif not (left.touches(intent.directory) or (intent.new_directory and left.touches(intent.new_directory))):
                continue
            self._board.drop_recovered(index)
        return match
