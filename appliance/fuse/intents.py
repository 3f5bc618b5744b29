"""Intents: what makes an operation happen once although its request is served twice.

A worker that is killed between a system call and its reply leaves a request that the kernel will send again, and a
second mkdir would say EEXIST. So before any operation that must not be repeated the worker writes down what it is
about to do and what it found before. If it dies, the next worker to get the request finds the intent and
reads from the filesystem whether the operation had happened, and answers as the first would have.

Requests are told apart by operation, inode, name and caller. That is exact: the kernel holds the lock of the
directory, or of the inode whose extended attribute is changed, from sending such a request to getting its answer, so
no second one for the same inode can be on its way. An intent is passed on only if its request is among those that the
kernel sends again (see recovery): one whose answer had been sent when the worker died is nobody's any more.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple, Self

from appliance.fuse.nodes import NodeId
from appliance.fuse.scoreboard import Scoreboard, Slot

_FIXED = struct.Struct("=BQQQQIIHH")


class Change(IntEnum):
    """The operations that must not be done twice: changes of a directory and of extended attributes.

    FSYNC is no change, but one that failed must not be done twice either: it would succeed then (see losses).
    """

    MKNOD = 1
    MKDIR = 2
    SYMLINK = 3
    LINK = 4
    UNLINK = 5
    RMDIR = 6
    RENAME = 7
    CREATE = 8
    SETXATTR = 9
    REMOVEXATTR = 10
    FSYNC = 11


class Intent(NamedTuple):
    """One change of a directory, or of an inode's extended attributes, about to be made.

    `before` is the inode that the name had when the operation began, 0 for none; for an extended attribute it is 1 if
    there was one, for FSYNC the errno that is to be told. RENAME has a second directory and name, `new_before` being
    what the new name had, and renameat2's flags. `caller` is the thread that asks, as far as the kernel tells.
    """

    change: Change
    directory: NodeId
    name: bytes
    before: int = 0
    new_directory: int = 0
    new_name: bytes = b""
    new_before: int = 0
    flags: int = 0
    caller: int = 0

    def pack(self) -> bytes:
        """Return the intent as bytes."""
        fixed = _FIXED.pack(
            self.change,
            self.directory,
            self.before,
            self.new_directory,
            self.new_before,
            self.flags,
            self.caller,
            len(self.name),
            len(self.new_name),
        )
        return fixed + self.name + self.new_name

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what `pack` wrote."""
        change, directory, before, new_directory, new_before, flags, caller, *sizes = _FIXED.unpack_from(data)
        size, new_size = sizes
        names = data[_FIXED.size :]
        name, new_name = names[:size], names[size : size + new_size]
        return cls(Change(change), NodeId(directory), name, before, new_directory, new_name, new_before, flags, caller)

    def same_request(self, other: Intent) -> bool:
        """Whether both speak of the same request, whatever each found on the filesystem."""
        return self._replace(before=0, new_before=0) == other._replace(before=0, new_before=0)

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
        earlier = self._take_over(intent) if self.any_left else None
        if earlier is None:
            self._slot.write_intent(intent.pack())
        return earlier

    @property
    def any_left(self) -> bool:
        """Whether dead workers have left any intents, which is nearly never."""
        return bool(self._board.recovered)

    def left(self, intent: Intent) -> Intent | None:
        """Return the intent that a dead worker left for the same request, without taking it over."""
        left = (Intent.unpack(data) for _, data in self._board.recovered_intents())
        return next((each for each in left if each.same_request(intent)), None)

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
