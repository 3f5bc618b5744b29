"""What is made of a death, with a socket in the kernel's place: which intents are passed on, and what is refused."""

from __future__ import annotations

import errno
import signal
import socket
import struct
from collections.abc import Iterator

import pytest

from appliance.fuse.intents import Change, Intent
from appliance.fuse.nodes import NodeId
from appliance.fuse.open_files import OpenFiles
from appliance.fuse.operation_numbers import OPERATIONS
from appliance.fuse.recovery import MOST_DEATHS, MOST_KILLS, Death, Recovered, Refused, recover
from appliance.fuse.requests import Opcode, Reader
from appliance.fuse.scoreboard import Busy, Scoreboard, Slot, Word

_RESEND = 1 << 63
_DIRECTORY = NodeId(7)
_CALLER = 4711
MKDIR = Intent(Change.MKDIR, _DIRECTORY, b"made", caller=_CALLER)


class Kernel:
    """The other end of a connection."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours

    def queue(self, opcode: Opcode, unique: int, body: bytes = b"", node: int = _DIRECTORY) -> None:
        """Have a request sent again."""
        header = struct.pack("=IIQQIIIHH", 40 + len(body), opcode, unique | _RESEND, node, 0, 0, _CALLER, 0, 0)
        self._socket.send(header + body)

    def answers(self) -> list[tuple[int, int]]:
        """Return the replies so far, unique number and errno; check that RESEND was said before and after."""
        said = []
        while True:
            try:
                said.append(struct.unpack("=IiQ", self._socket.recv(100)))
            except BlockingIOError:
                break
        resend = (16, 7, 0)
        assert said[0] == said[-1] == resend
        assert len(said) >= 2
        return [(unique & ~_RESEND, -error) for _, error, unique in said if unique]


@pytest.fixture
def connection() -> Iterator[tuple[int, Kernel]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs:
        yield theirs.fileno(), Kernel(ours)


def dead_at(board: Scoreboard, operation: str, node: int = _DIRECTORY, intent: Intent | None = None) -> Slot:
    """The slot of a worker that died at a request."""
    slot = board.slot(3)
    slot.words[Word.PID], slot.words[Word.SERVING], slot.words[Word.BUSY] = 1, 1, Busy.REQUEST
    slot.words[Word.OPERATION], slot.words[Word.NODE] = OPERATIONS.index(operation), node
    if intent:
        slot.write_intent(intent.pack())
    return slot


def recovered(connection: int, board: Scoreboard, *dead: Slot, how: Death = Death.CRASHED) -> Recovered:
    files = OpenFiles(board, lambda _: 1, lambda _: None)
    return recover(connection, Reader(connection), board, files, dead, {slot.index: how for slot in dead})


def test_an_intent_is_passed_on_when_its_request_comes_again(connection: tuple[int, Kernel], board: Scoreboard) -> None:
    descriptor, kernel = connection
    kernel.queue(Opcode.MKDIR, 10, bytes(8) + b"made\0")
    slot = dead_at(board, "mkdir", intent=MKDIR)
    recovered(descriptor, board, slot)
    assert [Intent.unpack(data) for _, data in board.recovered_intents()] == [MKDIR]
    assert kernel.answers() == []
    assert not slot.words[Word.PID]
    assert not slot.intent()


@pytest.mark.parametrize(
    ("opcode", "body", "node"),
    [
        (Opcode.MKDIR, bytes(8) + b"made-too\0", _DIRECTORY),
        (Opcode.MKDIR, bytes(8) + b"made\0", _DIRECTORY + 1),
        (Opcode.RMDIR, b"made\0", _DIRECTORY),
    ],
)
def test_an_intent_whose_request_was_answered_is_forgotten(
    connection: tuple[int, Kernel], board: Scoreboard, opcode: Opcode, body: bytes, node: int
) -> None:
    """The worker had replied: the next mkdir of this name is another one, and it must fail."""
    descriptor, kernel = connection
    kernel.queue(opcode, 10, body, node)
    recovered(descriptor, board, dead_at(board, "mkdir", intent=MKDIR))
    assert board.recovered_intents() == []


def test_what_was_passed_on_before_is_forgotten_when_it_does_not_come_any_more(
    connection: tuple[int, Kernel], board: Scoreboard
) -> None:
    board.add_recovered(MKDIR.pack())
    recovered(connection[0], board)
    assert board.recovered_intents() == []


def test_a_request_that_kills_is_refused_and_its_neighbour_is_not(
    connection: tuple[int, Kernel], board: Scoreboard
) -> None:
    descriptor, kernel = connection
    for death in range(1, MOST_DEATHS + 1):
        kernel.queue(Opcode.GETATTR, 20, node=99)
        kernel.queue(Opcode.READ, 22)
        found = recovered(descriptor, board, dead_at(board, "read"))
        if death < MOST_DEATHS:
            assert found.refused == []
            assert kernel.answers() == []
            assert board.suspects == {22: death}
    assert found.refused == [Refused("read", _DIRECTORY, MOST_DEATHS)]
    assert kernel.answers() == [(22, errno.EIO)]
    assert board.suspects == {}


def test_who_is_killed_from_outside_is_no_witness_against_a_request_for_long(
    connection: tuple[int, Kernel], board: Scoreboard
) -> None:
    descriptor, kernel = connection
    assert MOST_KILLS == 30
    for death in range(1, MOST_KILLS + 1):
        kernel.queue(Opcode.WRITE, 22)
        found = recovered(descriptor, board, dead_at(board, "write"), how=Death.KILLED)
        assert found.refused == ([] if death < MOST_KILLS else [Refused("write", _DIRECTORY, MOST_KILLS)])


@pytest.mark.parametrize(
    ("status", "death"),
    [(signal.SIGKILL, Death.KILLED), (signal.SIGSEGV, Death.CRASHED), (signal.SIGABRT | 128, Death.CRASHED),
     (1 << 8, Death.CRASHED), (0, Death.CRASHED)],
)
def test_deaths_are_told_apart(status: int, death: Death) -> None:
    assert Death.of(status) is death


def test_deaths_at_other_requests_are_not_added_up(connection: tuple[int, Kernel], board: Scoreboard) -> None:
    descriptor, kernel = connection
    for unique in range(30, 30 + 2 * MOST_DEATHS):
        kernel.queue(Opcode.READ, unique)
        assert recovered(descriptor, board, dead_at(board, "read")).refused == []
        assert board.suspects == {unique: 1}
    assert kernel.answers() == []


def test_a_worker_that_dies_before_it_begins_makes_suspect_what_nobody_was_at(
    connection: tuple[int, Kernel], board: Scoreboard
) -> None:
    descriptor, kernel = connection
    for _ in range(MOST_DEATHS):
        kernel.queue(Opcode.SETATTR, 40)
        slot = dead_at(board, "getattr")
        slot.words[Word.BUSY] = Busy.IDLE
        found = recovered(descriptor, board, slot)
    assert found.refused == [Refused("setattr", _DIRECTORY, MOST_DEATHS)]


def test_a_worker_that_never_attached_makes_nothing_suspect(connection: tuple[int, Kernel], board: Scoreboard) -> None:
    descriptor, kernel = connection
    for _ in range(MOST_DEATHS):
        kernel.queue(Opcode.SETATTR, 50)
        slot = dead_at(board, "getattr")
        slot.words[Word.BUSY], slot.words[Word.SERVING] = Busy.IDLE, 0
        assert recovered(descriptor, board, slot).refused == []
    assert board.suspects == {}


def test_forgets_in_between_are_passed_over(connection: tuple[int, Kernel], board: Scoreboard) -> None:
    descriptor, kernel = connection
    kernel.queue(Opcode.BATCH_FORGET, 0)
    kernel.queue(Opcode.MKDIR, 60, bytes(8) + b"made\0")
    recovered(descriptor, board, dead_at(board, "mkdir", intent=MKDIR))
    assert len(board.recovered_intents()) == 1


@pytest.mark.parametrize(("answered", "again", "stays_open"), [(0, False, False), (10, True, False), (10, False, True)])
def test_a_file_stays_open_if_the_kernel_was_told_that_it_is(
    connection: tuple[int, Kernel], board: Scoreboard, answered: int, again: bool, stays_open: bool
) -> None:
    descriptor, kernel = connection
    slot = dead_at(board, "open", node=9)
    files = OpenFiles(board, lambda _: 1, lambda _: None)
    handle, _ = files.open(NodeId(9), slot, 0)
    slot.words[Word.ANSWERED] = answered
    kernel.queue(Opcode.OPEN, 10 if again else 12, bytes(8), node=9)  # the other is somebody else's, of the same file
    recovered(descriptor, board, slot)
    assert (files.node(handle) == 9, len(files)) == (stays_open, int(stays_open))
    assert slot.words[Word.OPENED] == 0


def test_a_file_is_closed_also_if_the_request_to_close_it_is_refused(
    connection: tuple[int, Kernel], board: Scoreboard
) -> None:
    descriptor, kernel = connection
    files = OpenFiles(board, lambda _: 1, lambda _: None)
    handle, _ = files.open(NodeId(9), board.slot(5), 0)
    for _ in range(MOST_DEATHS):
        kernel.queue(Opcode.RELEASE, 10, struct.pack("=QIIQ", handle, 0, 0, 0), node=9)
        recovered(descriptor, board, dead_at(board, "release", node=9))
    assert len(files) == 0


def test_an_id_that_a_dead_worker_had_to_close_is_left_to_the_next(
    connection: tuple[int, Kernel], board: Scoreboard
) -> None:
    slot = dead_at(board, "release")
    slot.words[Word.CLOSING] = 17
    recovered(connection[0], board, slot)
    closed: list[int] = []
    files = OpenFiles(board, lambda _: 1, closed.append)
    assert files.left == 1
    files.close_left(board.slot(6))
    assert (closed, files.left) == ([17], 0)
