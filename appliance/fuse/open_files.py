"""The registry of open files: which inodes the kernel reads and writes itself, for as long as they are open.

All opens of an inode must name the same backing id, and none may leave reads and writes to a worker while another
does not: the kernel fails them with EIO otherwise. So while an inode is open, its id belongs to the share and
not to the worker that made it. The registry is a part of the scoreboard, so that it outlives everybody.

A file handle (`fh`) of such a share is the number of a row here, with a serial number so that it is never used
again. Hence a RELEASE that is served twice closes once. An OPEN that is served twice is undone once, see recovery.

Changes are made under a lock that the kernel takes from whoever dies. What its holder had not finished the next one
undoes, by a journal of the words' values before.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from appliance.fuse.nodes import NodeId
from appliance.fuse.scoreboard import OPEN_FILES, Scoreboard, Slot, Word

MAX_OPEN = 1 << 18
_ROW_BITS = 18
_BUCKETS = 1 << 16
_MIX = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: spreads inode numbers over the buckets
_MASK = (1 << 64) - 1
_MAX_LEFT = 256
_ORPHANS = 64  # ids that are looked at; as many workers in a row would have to die while they make one to lose any


class _Head:
    """The words at the head of the registry. Rows count from 1, so that 0 is none."""

    JOURNAL: Final = 0  # entries of the journal that are in force
    REGISTERING: Final = 1  # an id is being made, the one after LAST_ID
    LAST_ID: Final = 2
    SERIAL: Final = 3
    FILES: Final = 4  # open files
    IDS: Final = 5
    REFUSAL: Final = 6  # errno with which the kernel last refused to make an id, 0 for never
    LEFT: Final = 7  # ids that the dead had still to close
    NEW_FILE_ROW: Final = 8  # rows that have ever been used
    FREE_FILE_ROW: Final = 9
    NEW_INODE_ROW: Final = 10
    FREE_INODE_ROW: Final = 11


_JOURNAL = OPEN_FILES + 64
_LEFT = _JOURNAL + 128
_BUCKET = _LEFT + _MAX_LEFT
_INODE = _BUCKET + _BUCKETS
_INODE_WORDS = 4
_NODE, _ID, _COUNT, _NEXT = range(_INODE_WORDS)
_FILE = _INODE + (MAX_OPEN + 1) * _INODE_WORDS
_FILE_WORDS = 2
_FILE_NODE, _FILE_HANDLE = range(_FILE_WORDS)  # a free row has the next free one where its node was, and no handle


class OpenFiles:
    """The registry, as one process sees it.

    `register` makes a backing id for a descriptor, or raises OSError; `release` lets go of one. See linux.backing.
    """

    def __init__(self, board: Scoreboard, register: Callable[[int], int], release: Callable[[int], None]) -> None:
        self._words = board.words
        self._lock_file = board.fd
        self._register = register
        self._release = release

    def __len__(self) -> int:
        """How many files are open."""
        return self._words[OPEN_FILES + _Head.FILES]

    @property
    def ids(self) -> int:
        """How many backing ids there are."""
        return self._words[OPEN_FILES + _Head.IDS]

    @property
    def last_id(self) -> int:
        """The backing id that was made last."""
        return self._words[OPEN_FILES + _Head.LAST_ID]

    @property
    def refusal(self) -> int:
        """The errno with which the kernel last refused to make an id, so that a worker reads and writes; or 0."""
        return self._words[OPEN_FILES + _Head.REFUSAL]

    def node(self, handle: int) -> NodeId | None:
        """Return the inode of an open file, None if it is not open (any more)."""
        row = handle & ((1 << _ROW_BITS) - 1)
        at = _FILE + row * _FILE_WORDS
        return NodeId(self._words[at + _FILE_NODE]) if handle and self._words[at + _FILE_HANDLE] == handle else None

    def open(self, node: NodeId, slot: Slot, descriptor: int | None) -> tuple[int, int]:
        """Open a file once more for the worker of `slot`. Returns the file handle and the backing id.

        The id is 0 if a worker has to read and write: that is decided by whoever opens the inode first, who does so
        if `descriptor` is None or the kernel makes no id for it. Raises OSError: ENFILE if too many are open.
        """
        with self._locked():
            row, backing_id = self._find(node)
            if not row:
                backing_id = 0 if descriptor is None else self._make_id(descriptor)
                row = self._add_inode(node, backing_id)
            self._set(_INODE + row * _INODE_WORDS + _COUNT, self._words[_INODE + row * _INODE_WORDS + _COUNT] + 1)
            handle = self._add_file(node)
            self._set_slot(slot, Word.ANSWERED, 0)
            self._set_slot(slot, Word.OPENED, handle)
        return handle, backing_id

    def close(self, handle: int, slot: Slot) -> None:
        """Close a file; that it is closed already is no error. With the last one the inode's id goes.

        May wait for storage: the id may be all that kept an unlinked file.
        """
        self._finish_closing(slot)  # what an error has left
        with self._locked():
            if backing_id := self._remove(handle):
                self._set_slot(slot, Word.CLOSING, backing_id)
        self._finish_closing(slot)

    # After deaths

    def settle(self) -> None:
        """Undo what somebody had begun who was killed, as whoever takes the lock next would."""
        with self._locked():
            pass

    def undo(self, handle: int) -> None:
        """Close a file of which nobody was told that it is open, without waiting for storage."""
        with self._locked():
            if backing_id := self._remove(handle):
                self._leave(backing_id)

    def inherit(self, slot: Slot) -> None:
        """Leave what a dead worker had still to close to the next that comes by, without waiting for storage."""
        if backing_id := slot.words[Word.CLOSING]:
            with self._locked():
                self._leave(backing_id)
                self._set_slot(slot, Word.CLOSING, 0)

    @property
    def left(self) -> int:
        """How many ids wait to be closed by somebody who may wait for storage."""
        return self._words[OPEN_FILES + _Head.LEFT]

    def close_left(self, slot: Slot) -> None:
        """Close what the dead have left. May wait for storage."""
        while self.left:
            with self._locked():
                if count := self.left:
                    self._set_slot(slot, Word.CLOSING, self._words[_LEFT + count - 1])
                    self._set_head(_Head.LEFT, count - 1)
            self._finish_closing(slot)

    def _leave(self, backing_id: int) -> None:
        # Never more than there are slots, whose worker each closes one at a time; if it were, it would close at once.
        if (count := self.left) < _MAX_LEFT:
            self._set(_LEFT + count, backing_id)
            self._set_head(_Head.LEFT, count + 1)
        else:
            self._release(backing_id)

    def _finish_closing(self, slot: Slot) -> None:
        if backing_id := slot.words[Word.CLOSING]:
            self._release(backing_id)
            slot.words[Word.CLOSING] = 0

    # Rows

    def _find(self, node: NodeId) -> tuple[int, int]:
        """Return row and backing id of an open inode, 0 and 0 if it is not open."""
        row = self._words[_bucket(node)]
        while row and self._words[_INODE + row * _INODE_WORDS + _NODE] != node:
            row = self._words[_INODE + row * _INODE_WORDS + _NEXT]
        return row, self._words[_INODE + row * _INODE_WORDS + _ID] if row else 0

    def _make_id(self, descriptor: int) -> int:
        self._words[OPEN_FILES + _Head.REGISTERING] = 1
        try:
            backing_id = self._register(descriptor)
        except OSError as error:
            self._set_head(_Head.REFUSAL, error.errno or errno.EIO)
            return 0
        self._set_head(_Head.LAST_ID, backing_id)
        self._set_head(_Head.IDS, self.ids + 1)
        return backing_id

    def _add_inode(self, node: NodeId, backing_id: int) -> int:
        row = self._take_row(_Head.FREE_INODE_ROW, _Head.NEW_INODE_ROW, _INODE + _NEXT, _INODE_WORDS)
        at, bucket = _INODE + row * _INODE_WORDS, _bucket(node)
        for field, value in ((_NODE, node), (_ID, backing_id), (_COUNT, 0), (_NEXT, self._words[bucket])):
            self._set(at + field, value)
        self._set(bucket, row)
        return row

    def _add_file(self, node: NodeId) -> int:
        row = self._take_row(_Head.FREE_FILE_ROW, _Head.NEW_FILE_ROW, _FILE + _FILE_NODE, _FILE_WORDS)
        serial = self._words[OPEN_FILES + _Head.SERIAL] + 1
        handle = serial << _ROW_BITS & _MASK | row
        self._set_head(_Head.SERIAL, serial)
        self._set_head(_Head.FILES, len(self) + 1)
        self._set(_FILE + row * _FILE_WORDS + _FILE_NODE, node)
        self._set(_FILE + row * _FILE_WORDS + _FILE_HANDLE, handle)
        return handle

    def _take_row(self, free: int, new: int, links: int, size: int) -> int:
        """Return a row that is not in use: the first of the list of free ones, or one never used."""
        if row := self._words[OPEN_FILES + free]:
            self._set_head(free, self._words[links + row * size])
            return row
        row = self._words[OPEN_FILES + new] + 1
        if row >= MAX_OPEN:
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        self._set_head(new, row)
        return row

    def _remove(self, handle: int) -> int:
        """Take an open file out. Returns the backing id if it was the inode's last and there is one, else 0."""
        node = self.node(handle)
        if node is None:
            return 0
        row = handle & ((1 << _ROW_BITS) - 1)
        self._set(_FILE + row * _FILE_WORDS + _FILE_HANDLE, 0)
        self._set(_FILE + row * _FILE_WORDS + _FILE_NODE, self._words[OPEN_FILES + _Head.FREE_FILE_ROW])
        self._set_head(_Head.FREE_FILE_ROW, row)
        self._set_head(_Head.FILES, len(self) - 1)
        return self._count_down(node)

    def _count_down(self, node: NodeId) -> int:
        row, backing_id = self._find(node)
        at = _INODE + row * _INODE_WORDS
        count = self._words[at + _COUNT] - 1
        self._set(at + _COUNT, count)
        if count:
            return 0
        self._unlink(node, row)
        if backing_id:
            self._set_head(_Head.IDS, self.ids - 1)
        return backing_id

    def _unlink(self, node: NodeId, row: int) -> None:
        """Take an inode's row out of its bucket, and give it back."""
        link = _bucket(node)
        while self._words[link] != row:
            link = _INODE + self._words[link] * _INODE_WORDS + _NEXT
        at = _INODE + row * _INODE_WORDS
        self._set(link, self._words[at + _NEXT])
        self._set(at + _NEXT, self._words[OPEN_FILES + _Head.FREE_INODE_ROW])
        self._set_head(_Head.FREE_INODE_ROW, row)

    # The lock and the journal

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._lock_file, fcntl.LOCK_EX)
        try:
            self._roll_back()  # what somebody had begun who was killed
            try:
                yield
            except BaseException:
                self._roll_back()
                raise
            self._words[OPEN_FILES + _Head.JOURNAL] = 0
            self._words[OPEN_FILES + _Head.REGISTERING] = 0
        finally:
            fcntl.lockf(self._lock_file, fcntl.LOCK_UN)

    def _roll_back(self) -> None:
        words = self._words
        for entry in reversed(range(words[OPEN_FILES + _Head.JOURNAL])):
            words[words[_JOURNAL + 2 * entry]] = words[_JOURNAL + 2 * entry + 1]
        words[OPEN_FILES + _Head.JOURNAL] = 0
        if words[OPEN_FILES + _Head.REGISTERING]:
            # The kernel gives out ids one after the other, and this lock is held to make one. So if the dead had made
            # one and not got to writing it down, it is the next; or one after it, if others have died like that before.
            last, in_use = words[OPEN_FILES + _Head.LAST_ID], self._ids()
            for orphan in set(range(last + 1, last + 1 + _ORPHANS)) - in_use:
                self._release(orphan)
            words[OPEN_FILES + _Head.REGISTERING] = 0

    def _ids(self) -> set[int]:
        rows = range(1, self._words[OPEN_FILES + _Head.NEW_INODE_ROW] + 1)
        in_use = (row for row in rows if self._words[_INODE + row * _INODE_WORDS + _COUNT])
        return {self._words[_INODE + row * _INODE_WORDS + _ID] for row in in_use}

    def _set_slot(self, slot: Slot, word: int, value: int) -> None:
        self._set(slot.word_index(word), value)

    def _set_head(self, word: int, value: int) -> None:
        self._set(OPEN_FILES + word, value)

    def _set(self, index: int, value: int) -> None:
        """Change a word of the scoreboard; its value before goes into the journal first, whose count makes it count."""
        words = self._words
        entry = words[OPEN_FILES + _Head.JOURNAL]
        words[_JOURNAL + 2 * entry] = index
        words[_JOURNAL + 2 * entry + 1] = words[index]
        words[OPEN_FILES + _Head.JOURNAL] = entry + 1
        words[index] = value


def _bucket(node: NodeId) -> int:
    return _BUCKET + ((node * _MIX & _MASK) >> 48)
