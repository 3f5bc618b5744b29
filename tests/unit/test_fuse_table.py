"""The table of handles under several processes that are killed at work: one-to-one both ways, nothing forgotten."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import struct
import time
from collections import deque
from functools import partial
from pathlib import Path

import pytest

from appliance.fuse.codecs.table import TableCodec, measure
from appliance.fuse.nodes import ROOT, NodeId
from appliance.linux.handles import NativeHandle
from tests.support.children import Child, in_child

_PROCESSES = 4
_ROUNDS = 6
_TICK_NS = 3_000_000
_TOLD = struct.Struct("=QQ")  # node id, number of the handle


def _handle(number: int) -> NativeHandle:
    return NativeHandle(1, b"%012d" % number)


def _give_out(path: Path, told: Path) -> None:
    """Look handles up as a worker would, for ever, and write down each answer when it is given.

    Which handle is a matter of the time, so that all come to each new one at once.
    """
    codec = TableCodec(path)
    log = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while True:
        number = time.monotonic_ns() // _TICK_NS
        node = codec.encode(_handle(number)).node
        os.write(log, _TOLD.pack(node, number))
        assert codec.decode(node) == _handle(number)


def _told(told: Path) -> set[tuple[int, int]]:
    data = told.read_bytes()
    return {_TOLD.unpack_from(data, at) for at in range(0, len(data) - _TOLD.size + 1, _TOLD.size)}


def test_killed_processes_neither_forget_nor_repeat(tmp_path: Path) -> None:
    path, told = tmp_path / "handles.db", tmp_path / "told"
    for round_ in range(_ROUNDS):
        crew = [Child(partial(_give_out, path, told)) for _ in range(_PROCESSES)]
        goal = (told.stat().st_size if told.exists() else 0) + _PROCESSES * 150 * _TOLD.size
        deadline = time.monotonic() + 60
        while not told.exists() or told.stat().st_size < goal:
            assert time.monotonic() < deadline, "nothing is given out"
            assert not any(child.ended for child in crew), "one of them failed"
            time.sleep(0.01)
        for child in crew:
            os.kill(child.pid, signal.SIGKILL)
        for child in crew:
            child.__exit__()
        pairs = _told(told)
        nodes, numbers = {node for node, _ in pairs}, {number for _, number in pairs}
        assert len(nodes) == len(numbers) == len(pairs), f"given out twice by round {round_}"
        assert min(nodes) > ROOT
    codec = TableCodec(path)
    for node, number in pairs:
        assert codec.decode(NodeId(node)) == _handle(number)
        assert codec.encode(_handle(number)).node == node
    codec.close()


def _make(path: Path, start: float) -> int:
    while time.monotonic() < start:
        pass
    return TableCodec(path).encode(_handle(1)).node


def test_many_may_make_it_at_once(tmp_path: Path) -> None:
    """SQLite itself refuses some of those who turn a file into WAL at the same time."""
    for number in range(60):
        path = tmp_path / f"{number}.db"
        crew = [Child(partial(_make, path, time.monotonic() + 0.02)) for _ in range(2)]
        assert len({child.result() for child in crew}) == 1


def test_a_number_is_not_given_again_although_its_row_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "handles.db"
    codec = TableCodec(path)
    nodes = [codec.encode(_handle(number)).node for number in range(5)]
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM handles WHERE node = ?", (nodes[-1],))
    assert codec.encode(_handle(99)).node not in nodes
    codec.close()


def test_its_size_is_told_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "handles.db"
    codec = TableCodec(path)
    assert measure(path).entries == 0
    for number in range(1000):
        codec.encode(_handle(number % 500))
    size = in_child(lambda: tuple(measure(path)))
    assert isinstance(size, tuple)
    assert size[0] == 500
    assert size[1] > 500 * 12
    codec.close()


def test_a_full_table_says_so(tmp_path: Path) -> None:
    codec = TableCodec(tmp_path / "handles.db")
    pages = codec._database.execute("PRAGMA page_count").fetchone()[0]
    codec._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OSError, match="takes no more") as caught:
        deque(map(codec.encode, map(_handle, range(10_000))), maxlen=0)
    assert caught.value.errno == errno.EIO
    codec.close()


def test_a_table_in_use_for_too_long_says_so_of_what_is_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.fuse.codecs.table._BUSY_SECONDS", 0.0)
    one, other = TableCodec(tmp_path / "handles.db"), TableCodec(tmp_path / "handles.db")
    with one.batch():
        one.encode(_handle(1))
        with pytest.raises(OSError, match="takes no more") as caught, other.batch():
            other.encode(_handle(2))
    assert caught.value.errno == errno.EIO
    one.close()
    other.close()


def _fail_in_the_middle(codec: TableCodec) -> None:
    with codec.batch():
        codec.encode(_handle(100))
        raise KeyError


def test_what_is_gathered_is_there_for_others_when_it_is_told_and_not_at_all_after_a_failure(tmp_path: Path) -> None:
    one, other = TableCodec(tmp_path / "handles.db"), TableCodec(tmp_path / "handles.db")
    with one.batch():
        nodes = [one.encode(_handle(number)).node for number in range(100)]
        assert measure(tmp_path / "handles.db").entries == 0
    assert [other.encode(_handle(number)).node for number in range(100)] == nodes
    with pytest.raises(KeyError):
        _fail_in_the_middle(one)
    assert measure(tmp_path / "handles.db").entries == 100
    with one.batch():
        assert one.encode(_handle(99)).node == nodes[-1]
    assert other.encode(_handle(101)).node not in nodes
    one.close()
    other.close()
