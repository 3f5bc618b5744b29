"""The scoreboard: memory shared by the workers of a share and the process that watches over them.

It belongs to the share, not to a process: it outlives workers and the pool process, and tells whoever comes after
what a dead worker was doing. Each worker writes to its own slot only, so nothing here needs a lock.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from typing import Final

from appliance.fuse import meter
from appliance.fuse.key import KEY_SIZE, NO_KEY

MAX_WORKERS = 64
INTENT_SIZE = 4096
MAX_RECOVERED = MAX_WORKERS
_RING = 1024  # removed nodes a slot remembers; whoever misses more than that drops everything it holds
_LOST = 1024  # nodes a slot remembers data to be lost of; the oldest give way

_WORDS_PER_SLOT = 16
_SLOT_SIZE = 16 * 1024
_RING_OFFSET = 2048
_INTENT_OFFSET = _RING_OFFSET + _RING * 8
_REMOVED_COUNTS = 4096  # one word per slot, together, so that a worker compares them all at once
_RECOVERED_FLAGS = _REMOVED_COUNTS + MAX_WORKERS * 8
_SUSPECTS = _RECOVERED_FLAGS + MAX_RECOVERED * 8
_MAX_SUSPECTS = 64
_SLOTS = 8192
_RECOVERED = _SLOTS + MAX_WORKERS * _SLOT_SIZE
_METERS = _RECOVERED + MAX_RECOVERED * INTENT_SIZE
_LOSSES = _METERS + MAX_WORKERS * meter.WORDS * 8
_OPEN_FILES = _LOSSES + MAX_WORKERS * _LOST * 8
OPEN_FILES = _OPEN_FILES // 8  # the word at which the registry of open files begins, see open_files
_SIZE = _OPEN_FILES + (14 << 20)  # of which only what is used takes memory

_DRAINING_WORD = 0
_RECOVERED_WORD = 1
_REMOVAL_WORD = 2
_DATA_PATH_WORD = 3
_ANY_LOST_WORD = 4
_KEY = 64
_LENGTH = struct.Struct("=I")


class Word:
    """The 64-bit words at the head of a slot.

    Plain numbers, no enum: a worker writes several at each request, and an enum's members cost it four times as much.
    """

    PID: Final = 0
    SERVING: Final = 1
    BUSY: Final = 2
    OPERATION: Final = 3
    NODE: Final = 4
    REQUESTS: Final = 5
    ERRORS: Final = 6
    HITS: Final = 7
    MISSES: Final = 8
    DESCRIPTORS: Final = 9
    REMOVALS_SEEN: Final = 10
    RETIRING: Final = 11  # set by the pool process: end after this request
    OPENED: Final = 12  # the file handle that the answer to an OPEN will tell, or has just told
    ANSWERED: Final = 13  # the number of the request that it is about to tell it to; 0: not yet
    CLOSING: Final = 14  # a backing id that nobody needs any more


class Busy:
    """What Word.BUSY says: waits for a request, is at one, or closes what others have removed."""

    IDLE: Final = 0
    REQUEST: Final = 1
    HOUSEKEEPING: Final = 2


@dataclass(frozen=True)
class WorkerStatus:
    """What a slot tells about its worker: counts since the worker began, descriptors as of now.

    `waits_seconds` is for how long it has been seen at the same request, 0 for a moment.
    """

    slot: int
    pid: int
    serving: bool
    busy: bool
    waits_seconds: float
    requests: int
    errors: int
    cache_hits: int
    cache_misses: int
    descriptors: int


class Scoreboard:
    """The shared memory as a whole."""

    def __init__(self, descriptor: int) -> None:
        self.fd = descriptor
        self._memory = mmap.mmap(descriptor, _SIZE)
        self.words = memoryview(self._memory).cast("Q")
        self.bytes = memoryview(self._memory)

    @classmethod
    def create(cls, key: bytes = NO_KEY) -> Scoreboard:
        """Make an empty scoreboard. Its descriptor may be passed on to other processes; so comes the key to them."""
        descriptor = os.memfd_create("holdfast-scoreboard", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _SIZE)
        made = cls(descriptor)
        made.bytes[_KEY : _KEY + KEY_SIZE] = key
        return made

    @property
    def key(self) -> bytes:
        """The share's key."""
        return bytes(self.bytes[_KEY : _KEY + KEY_SIZE])

    def close(self) -> None:
        """Close the descriptor; the memory lives for as long as it is mapped somewhere."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def slot(self, index: int) -> Slot:
        """Return the slot of worker number `index`."""
        return Slot(self, index)

    def totals(self) -> meter.Totals:
        """Return what all workers of the share have counted, those that are gone among them."""
        slots = [self.slot(index) for index in range(MAX_WORKERS)]
        hits = sum(slot.words[Word.HITS] for slot in slots)
        misses = sum(slot.words[Word.MISSES] for slot in slots)
        return meter.totals((slot.meter for slot in slots), hits, misses)

    @property
    def draining(self) -> bool:
        """Whether workers have to end instead of beginning another request."""
        return bool(self.words[_DRAINING_WORD])

    @draining.setter
    def draining(self, value: bool) -> None:
        self.words[_DRAINING_WORD] = int(value)

    @property
    def last_removal(self) -> int:
        """When some inode has lost its last name, by time.monotonic_ns."""
        return self.words[_REMOVAL_WORD]

    @last_removal.setter
    def last_removal(self, value: int) -> None:
        self.words[_REMOVAL_WORD] = value

    @property
    def data_path(self) -> int:
        """How this connection's files are read and written: a DataPath, see passthrough. Once set it stays."""
        return self.words[_DATA_PATH_WORD]

    @data_path.setter
    def data_path(self, value: int) -> None:
        self.words[_DATA_PATH_WORD] = value

    # Nodes of which storage did not take data, until an FSYNC has said so, see losses.

    @property
    def any_lost(self) -> bool:
        """Whether data of any node were lost and no FSYNC has said so, which is nearly never."""
        return bool(self.words[_ANY_LOST_WORD])

    def lost(self, node: int) -> bool:
        """Tell whether data of this node were."""
        return self.any_lost and node in self._losses

    def forget_lost(self, node: int) -> None:
        """It is said, or about to be. The kernel lets nobody else tell or note the same node meanwhile."""
        if not self.any_lost:
            return
        for index, noted in enumerate(self._losses):
            if noted == node:
                self._losses[index] = 0
        # In this order, since others note what they have lost, and then that there is something.
        self.words[_ANY_LOST_WORD] = 0
        if any(self._losses):
            self.words[_ANY_LOST_WORD] = 1

    @property
    def _losses(self) -> memoryview:
        return self.words[_LOSSES // 8 : _OPEN_FILES // 8]

    def removal_counts(self, workers: int) -> memoryview:
        """Return how many nodes each of the first `workers` slots has announced as removed."""
        return self.bytes[_REMOVED_COUNTS : _REMOVED_COUNTS + workers * 8]

    # Intents that dead workers left, until the request that each belongs to has come again.

    @property
    def recovered(self) -> int:
        """How many entries of the list of recovered intents have ever been used; 0 nearly always."""
        return self.words[_RECOVERED_WORD]

    def add_recovered(self, intent: bytes) -> None:
        """Remember a dead worker's intent, in place of the oldest if there is no room."""
        flags = [self.words[_RECOVERED_FLAGS // 8 + index] for index in range(MAX_RECOVERED)]
        index = flags.index(0) if 0 in flags else 0
        start = _RECOVERED + index * INTENT_SIZE
        self.bytes[start : start + len(intent)] = intent
        self.words[_RECOVERED_FLAGS // 8 + index] = len(intent)
        self.words[_RECOVERED_WORD] = max(self.recovered, index + 1)

    def recovered_intents(self) -> list[tuple[int, bytes]]:
        """Return the intents still waiting for their request, each with its index."""
        found = []
        for index in range(self.recovered):
            if length := self.words[_RECOVERED_FLAGS // 8 + index]:
                start = _RECOVERED + index * INTENT_SIZE
                found.append((index, bytes(self.bytes[start : start + length])))
        return found

    # Requests that were being served when a worker died.

    @property
    def suspects(self) -> dict[int, int]:
        """How many workers have died at each request that is not answered yet, by its unique number."""
        words = self.words[_SUSPECTS // 8 : _SUSPECTS // 8 + 2 * _MAX_SUSPECTS]
        return {words[index]: words[index + 1] for index in range(0, 2 * _MAX_SUSPECTS, 2) if words[index + 1]}

    @suspects.setter
    def suspects(self, deaths: dict[int, int]) -> None:
        words = self.words[_SUSPECTS // 8 : _SUSPECTS // 8 + 2 * _MAX_SUSPECTS]
        worst = sorted(deaths.items(), key=lambda item: item[1], reverse=True)[:_MAX_SUSPECTS]
        for index in range(_MAX_SUSPECTS):
            unique, count = worst[index] if index < len(worst) else (0, 0)
            words[2 * index], words[2 * index + 1] = unique, count

    def drop_recovered(self, index: int) -> None:
        """Forget an intent whose request has come, or can come no more."""
        self.words[_RECOVERED_FLAGS // 8 + index] = 0
        if not any(self.words[_RECOVERED_FLAGS // 8 + other] for other in range(self.recovered)):
            self.words[_RECOVERED_WORD] = 0


class Slot:
    """One worker's part of the scoreboard."""

    def __init__(self, board: Scoreboard, index: int) -> None:
        start = _SLOTS + index * _SLOT_SIZE
        self.index = index
        self._first_word = start // 8
        self.words = board.words[start // 8 : start // 8 + _WORDS_PER_SLOT]
        self._bytes = board.bytes[start : start + _SLOT_SIZE]
        self._ring = board.words[(start + _RING_OFFSET) // 8 : (start + _RING_OFFSET) // 8 + _RING]
        first = _METERS // 8 + index * meter.WORDS
        self.meter = meter.Meter(board.words[first : first + meter.WORDS])
        lost = _LOSSES // 8 + index * _LOST
        self._lost = board.words[lost : lost + _LOST]
        self._any_lost = board.words[_ANY_LOST_WORD : _ANY_LOST_WORD + 1]
        self._next_lost = 0
        self._removed_count = board.words[_REMOVED_COUNTS // 8 + index : _REMOVED_COUNTS // 8 + index + 1]

    def clear(self) -> None:
        """Make the slot ready for a new worker. What was announced as removed, or counted, stays."""
        self.meter.carry(self.words[Word.HITS], self.words[Word.MISSES])
        for word in range(_WORDS_PER_SLOT):
            self.words[word] = 0
        self.clear_intent()

    def word_index(self, word: int) -> int:
        """Return the place of a word on the scoreboard as a whole."""
        return self._first_word + word

    # The intent: what the worker is about to do that must not be done twice.

    def write_intent(self, intent: bytes) -> None:
        """Record the intent. Its length, written last, makes it count."""
        start = _INTENT_OFFSET + _LENGTH.size
        self._bytes[start : start + len(intent)] = intent
        _LENGTH.pack_into(self._bytes, _INTENT_OFFSET, len(intent))

    def clear_intent(self) -> None:
        """The reply has been sent: what was intended is history."""
        _LENGTH.pack_into(self._bytes, _INTENT_OFFSET, 0)

    def intent(self) -> bytes:
        """Return the recorded intent, empty if there is none."""
        (length,) = _LENGTH.unpack_from(self._bytes, _INTENT_OFFSET)
        start = _INTENT_OFFSET + _LENGTH.size
        return bytes(self._bytes[start : start + length])

    # Removed nodes: others may hold descriptors that keep the inode from being freed.

    def announce_removed(self, node: int) -> None:
        """Tell the other workers that the last name of `node` is gone."""
        count = self._removed_count[0]
        self._ring[count % _RING] = node
        self._removed_count[0] = count + 1

    @property
    def removed_count(self) -> int:
        """How many nodes have ever been announced here."""
        return self._removed_count[0]

    def removed_since(self, count: int) -> list[int] | None:
        """Return the nodes announced after the first `count`; None if they were too many to be remembered."""
        now = self._removed_count[0]
        if now - count > _RING:
            return None
        return [self._ring[number % _RING] for number in range(count, now)]

    def note_lost(self, node: int) -> None:
        """Remember that storage did not take data of a node, until an FSYNC has said so."""
        if node not in self._lost:
            self._lost[self._next_lost % _LOST] = node
            self._next_lost += 1
        self._any_lost[0] = 1

    def status(self, waits_seconds: float = 0.0) -> WorkerStatus:
        """Return what the slot tells about its worker."""
        words = self.words
        return WorkerStatus(
            slot=self.index,
            pid=words[Word.PID],
            serving=bool(words[Word.SERVING]),
            busy=bool(words[Word.BUSY]),
            waits_seconds=waits_seconds,
            requests=words[Word.REQUESTS],
            errors=words[Word.ERRORS],
            cache_hits=words[Word.HITS],
            cache_misses=words[Word.MISSES],
            descriptors=words[Word.DESCRIPTORS],
        )
