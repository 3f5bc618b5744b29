"""What there is to know after a death, before new workers may have the requests of the dead.

Nobody else serves the connection meanwhile. The requests that come again are read first (see requests), and compared
with what the dead have left on the scoreboard:

- An intent is passed on to the next workers if its request comes again, and forgotten otherwise: then its answer had
  been sent already, and the next request that looks the same is another one.
- A file is open if the kernel was told so: it is closed again if the OPEN comes again, or was not answered at all.
- A request that a worker was at when it died is suspect. One that three workers have died at is answered with EIO,
  so that it does not kill the next ones as well, and the rest of the share goes on. SIGKILL comes from outside: from
  somebody to whom the request does not matter, or from the kernel, which is out of memory. It takes many of those.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from appliance.fuse import protocol
from appliance.fuse.intents import Change, Intent
from appliance.fuse.open_files import OpenFiles
from appliance.fuse.operation_numbers import OPERATIONS, REQUESTS, operation_of
from appliance.fuse.requests import Opcode, Reader, Request, plain_unique
from appliance.fuse.scoreboard import Busy, Scoreboard, Slot, Word

MOST_DEATHS = 3
MOST_KILLS = 30

class Death(Enum):
    """How a worker came to end."""

    KILLED = "by SIGKILL"
    CRASHED = "of itself"

    @classmethod
    def of(cls, status: int) -> Death:
        """Tell by the status that wait(2) gives."""
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return cls.KILLED if killed else cls.CRASHED


@dataclass(frozen=True)
class Refused:
    """A request that was answered with EIO because workers died at it."""

    operation: str
    node: int
    deaths: int


@dataclass(frozen=True)
class Recovered:
    """What a recovery has found: how many intents were passed on, and what was refused."""

    intents: int
    refused: list[Refused]


def recover(
    connection: int,
    reader: Reader,
    board: Scoreboard,
    files: OpenFiles,
    dead: Iterable[Slot],
    unasked: Mapping[int, Death],
) -> Recovered:
    """Have the requests of the dead sent again, once it is known what to do with each. Raises OSError at the end.

    `dead` are the slots of ended workers, which are cleared; `unasked` tells by index of those among them that
    nobody here has ended. No worker may serve the connection.
    """
    os.write(connection, protocol.resend())
    requests = reader.read_resent()
    dead = list(dead)
    _undo_opens(files, requests, dead)
    refused = _refuse(reader, board, files, requests, *_suspects(board, requests, dead, unasked))
    intents = _pass_on(board, requests, dead)
    for slot in dead:
        files.inherit(slot)
        slot.clear()
    os.write(connection, protocol.resend())  # what was read above
    return Recovered(intents, refused)


def _undo_opens(files: OpenFiles, requests: list[Request], dead: list[Slot]) -> None:
    """Close what the dead had opened for somebody who does not know yet, and whose request comes again."""
    files.settle()
    again = {request.unique for request in requests}
    for slot in dead:
        answered = slot.words[Word.ANSWERED]
        if (handle := slot.words[Word.OPENED]) and (not answered or plain_unique(answered) in again):
            files.undo(handle)


def _suspects(
    board: Scoreboard, requests: list[Request], dead: list[Slot], unasked: Mapping[int, Death]
) -> tuple[dict[int, int], set[int]]:
    """Return how many workers have died at each of these requests, by unique number, and at which one crashed now."""
    before = board.suspects
    deaths = {request.unique: before.get(request.unique, 0) for request in requests}
    innocent, crashed = set(deaths), set()
    for slot in dead:
        if slot.words[Word.BUSY] == Busy.REQUEST and (
            at := [request for request in requests if _served(slot, request)]
        ):
            # Two requests may look the same from here; the one with a history is the likelier.
            culprit = max(at, key=lambda request: deaths[request.unique]).unique
            deaths[culprit] += 1
            innocent.discard(culprit)
            if unasked.get(slot.index) is Death.CRASHED:
                crashed.add(culprit)
    idle = [unasked[slot.index] for slot in dead if slot.index in unasked and _was_idle(slot)]
    if idle:
        # It died before it began: of what it had read, if anything, and that is what nobody else was at.
        for unique in innocent:
            deaths[unique] += 1
        if Death.CRASHED in idle:
            crashed |= innocent
    return deaths, crashed


def _was_idle(slot: Slot) -> bool:
    """Whether a worker had attached, so that it may have read a request, and was not at one."""
    return bool(slot.words[Word.SERVING]) and slot.words[Word.BUSY] != Busy.REQUEST


def _served(slot: Slot, request: Request) -> bool:
    operation = OPERATIONS[slot.words[Word.OPERATION]]
    node = slot.words[Word.NODE]
    return request.opcode in REQUESTS[operation] and node in (0, request.node)


def _refuse(
    reader: Reader,
    board: Scoreboard,
    files: OpenFiles,
    requests: list[Request],
    deaths: dict[int, int],
    crashed: set[int],
) -> list[Refused]:
    """Answer, and take out of `requests`, what has killed too many; remember the rest."""
    refused = []
    limits = {request.unique: MOST_DEATHS if request.unique in crashed else MOST_KILLS for request in requests}
    for request in [each for each in requests if deaths[each.unique] >= limits[each.unique]]:
        reader.refuse(request, errno.EIO)
        if request.opcode == Opcode.RELEASE:  # the kernel takes no answer to it for a failure: the file is closed
            files.undo(request.file_handle)
        requests.remove(request)
        refused.append(Refused(operation_of(request.opcode), request.node, deaths.pop(request.unique)))
    board.suspects = {unique: count for unique, count in deaths.items() if count}
    return refused


def _pass_on(board: Scoreboard, requests: list[Request], dead: list[Slot]) -> int:
    """Put the intents whose requests come again where the next workers look. Returns how many there are."""
    left = [data for slot in dead if (data := slot.intent())]
    count = len(left)
    for index, data in board.recovered_intents():
        if not _comes_again(data, requests):
            board.drop_recovered(index)
    kept = {data for _, data in board.recovered_intents()}
    for data in left:
        if data not in kept and _comes_again(data, requests):
            board.add_recovered(data)
    return count


def _comes_again(data: bytes, requests: list[Request]) -> bool:
    intent = Intent.unpack(data)
    return any(_same(intent, request) for request in requests)


def _same(intent: Intent, request: Request) -> bool:
    opcodes = REQUESTS[Change(intent.change).name.lower()]
    if intent.change is Change.FSYNC:  # of which there is one at a time for each inode, whoever asks
        return request.opcode in opcodes and intent.directory == request.node
    return request.opcode in opcodes and (intent.directory, intent.name, intent.caller) == (
        request.node,
        request.name,
        request.caller,
    )
