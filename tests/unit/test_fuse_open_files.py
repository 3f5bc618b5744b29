"""The registry of open files, with a kernel played: wherever somebody is killed, no id is lost or closed early."""

from __future__ import annotations

import errno
import mmap
import os
import random
import signal
from collections.abc import Callable

import pytest

from appliance.fuse import open_files
from appliance.fuse.nodes import NodeId
from appliance.fuse.open_files import OpenFiles
from appliance.fuse.scoreboard import Scoreboard, Slot, Word

_IDS = 4096
_FILE = NodeId(0x1234_0000_0042)
_OTHER = NodeId(7)


class Kernel:
    """Backing ids, given out one after the other, in memory that outlives a killed process."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _IDS)
        self._next = mmap.mmap(-1, 2)
        self.refuses = 0

    def register(self, descriptor: int) -> int:
        """BACKING_OPEN."""
        assert descriptor >= 0
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        made = int.from_bytes(self._next[:], "little") + 1
        self._next[:] = made.to_bytes(2, "little")
        self._memory[made] = 1
        return made

    def release(self, backing_id: int) -> None:
        """BACKING_CLOSE, which says nothing of ids that are not there."""
        self._memory[backing_id] = 0

    @property
    def ids(self) -> set[int]:
        """The ids there are."""
        return {number for number in range(_IDS) if self._memory[number]}


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def files(board: Scoreboard, kernel: Kernel) -> OpenFiles:
    return OpenFiles(board, kernel.register, kernel.release)


@pytest.fixture
def slot(board: Scoreboard) -> Slot:
    return board.slot(0)


def test_all_opens_of_an_inode_have_one_id_until_the_last_is_closed(
    files: OpenFiles, slot: Slot, kernel: Kernel
) -> None:
    (first, one), (second, other) = files.open(_FILE, slot, 5), files.open(_FILE, slot, 5)
    assert one == other
    assert first != second
    assert (files.node(first), files.node(second), len(files), files.ids) == (_FILE, _FILE, 2, 1)
    files.close(first, slot)
    assert kernel.ids == {one}
    files.close(second, slot)
    assert (kernel.ids, len(files), files.ids, files.node(second)) == (set(), 0, 0, None)


def test_what_is_closed_twice_is_closed_once(files: OpenFiles, slot: Slot, kernel: Kernel) -> None:
    first, backing_id = files.open(_FILE, slot, 5)
    files.open(_FILE, slot, 5)
    for _ in range(3):
        files.close(first, slot)
    assert kernel.ids == {backing_id}
    assert len(files) == 1


def test_a_handle_is_never_used_again(files: OpenFiles, slot: Slot) -> None:
    seen = set()
    for _ in range(100):
        handle, _ = files.open(_FILE, slot, 5)
        seen.add(handle)
        files.close(handle, slot)
    assert len(seen) == 100


def test_an_inode_that_began_without_an_id_has_none_while_it_is_open(
    files: OpenFiles, slot: Slot, kernel: Kernel
) -> None:
    kernel.refuses = errno.ELOOP
    first, refused = files.open(_FILE, slot, 5)
    kernel.refuses = 0
    second, still = files.open(_FILE, slot, 5)
    assert (refused, still, files.refusal) == (0, 0, errno.ELOOP)
    files.close(first, slot)
    files.close(second, slot)
    assert files.open(_FILE, slot, 5)[1] in kernel.ids
    assert files.open(_OTHER, slot, None)[1] == 0


def test_too_many_open_files_are_an_error_that_changes_nothing(
    files: OpenFiles, slot: Slot, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "MAX_OPEN", 3)
    first, _ = files.open(_FILE, slot, 5)
    files.open(_FILE, slot, 5)
    with pytest.raises(OSError, match="Too many open files in system"):
        files.open(_OTHER, slot, 5)
    assert (len(files), len(kernel.ids), files.ids) == (2, 1, 1)
    files.close(first, slot)
    assert files.open(_OTHER, slot, 5)[1] in kernel.ids


def test_it_does_what_a_dictionary_would(
    files: OpenFiles, slot: Slot, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "_bucket", lambda node: open_files._BUCKET + node % 3)  # long chains
    dice, opened = random.Random(1), dict[int, tuple[NodeId, int]]()
    for _ in range(2000):
        if dice.random() < 0.5 or not opened:
            node = NodeId(dice.randrange(1, 40))
            handle, backing_id = files.open(node, slot, 5)
            assert all(known == backing_id for other, known in opened.values() if other == node)
            opened[handle] = node, backing_id
        else:
            handle = dice.choice(list(opened))
            del opened[handle]
            files.close(handle, slot)
        assert kernel.ids == {backing_id for _, backing_id in opened.values()}
        assert len(files) == len(opened)


def _die_at(step: int, what: Callable[[], object]) -> bool:
    """Do `what` in a child that is killed just before its `step`th store. Returns whether it came to that."""
    pid = os.fork()
    if pid == 0:
        left = step
        store = OpenFiles._set

        def count(self: OpenFiles, index: int, value: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            store(self, index, value)

        OpenFiles._set = count  # type: ignore[method-assign]
        what()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def _recover(files: OpenFiles, slot: Slot, *, answered: bool) -> None:
    """What recovery.recover does for a dead worker, and the next worker after that."""
    files.settle()
    if (handle := slot.words[Word.OPENED]) and not answered:
        files.undo(handle)
    files.inherit(slot)
    slot.clear()
    files.close_left(slot)


@pytest.mark.parametrize("already_open", [0, 1])
def test_a_death_at_any_step_of_an_open_leaves_nothing(
    board: Scoreboard, kernel: Kernel, files: OpenFiles, already_open: int
) -> None:
    slot = board.slot(1)
    for _ in range(already_open):
        files.open(_FILE, board.slot(0), 5)
    before = kernel.ids
    for step in range(100):
        died = _die_at(step, lambda: files.open(_FILE, slot, 5))
        _recover(files, slot, answered=False)
        assert (kernel.ids, len(files)) == (before, already_open), f"killed at step {step}"
        if not died:
            assert step > 5
            return
    pytest.fail("an open has no end")


@pytest.mark.parametrize("others", [0, 1])
def test_a_death_at_any_step_of_a_close_is_made_good_by_closing_again(
    board: Scoreboard, kernel: Kernel, files: OpenFiles, others: int
) -> None:
    slot = board.slot(1)
    for step in range(100):
        handle, backing_id = files.open(_FILE, board.slot(0), 5)
        kept = [files.open(_FILE, board.slot(0), 5)[0] for _ in range(others)]
        died = _die_at(step, lambda handle=handle: files.close(handle, slot))  # type: ignore[misc]
        _recover(files, slot, answered=False)
        files.close(handle, slot)  # the kernel sends the request again
        assert kernel.ids == ({backing_id} if others else set()), f"killed at step {step}"
        for each in kept:
            files.close(each, slot)
        assert (kernel.ids, len(files)) == (set(), 0), f"killed at step {step}"
        if not died:
            return
    pytest.fail("a close has no end")


def test_a_death_between_an_id_and_its_being_written_down_loses_no_id(
    board: Scoreboard, kernel: Kernel, files: OpenFiles
) -> None:
    kept, _ = files.open(_OTHER, board.slot(0), 5)
    pid = os.fork()
    if pid == 0:
        def register(descriptor: int) -> int:
            kernel.register(descriptor)
            os.kill(os.getpid(), signal.SIGKILL)
            return 0

        OpenFiles(board, register, kernel.release).open(_FILE, board.slot(1), 5)
    os.waitpid(pid, 0)
    assert len(kernel.ids) == 2
    files.close(kept, board.slot(0))
    assert kernel.ids == set()


def test_a_death_before_an_id_is_closed_leaves_it_to_the_next(
    board: Scoreboard, kernel: Kernel, files: OpenFiles
) -> None:
    handle, backing_id = files.open(_FILE, board.slot(0), 5)
    slot = board.slot(1)
    pid = os.fork()
    if pid == 0:
        OpenFiles(board, kernel.register, lambda _: os.kill(os.getpid(), signal.SIGKILL)).close(handle, slot)
    os.waitpid(pid, 0)
    assert kernel.ids == {backing_id}
    assert files.node(handle) is None
    _recover(files, slot, answered=False)
    assert kernel.ids == set()
