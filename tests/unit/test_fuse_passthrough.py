"""Who reads and writes a share's files: decided once for each connection; where it is the workers, it is said why."""

from __future__ import annotations

import errno
import struct

import pytest

from appliance.fuse import passthrough
from appliance.fuse.nodes import NodeId
from appliance.fuse.open_files import OpenFiles
from appliance.fuse.protocol import InitFlag
from appliance.fuse.scoreboard import Scoreboard
from appliance.settings import Settings
from tests.unit.test_fuse_protocol import RECORDED

# Where these are in a FUSE_INIT: the protocol's minor version, the upper half of the flags.
_MINOR, _FLAGS_2 = 44, 56


@pytest.fixture
def extended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our extension of pyfuse3 is there, which this machine may be too old for."""
    monkeypatch.setattr(passthrough, "extended", lambda: True)


def _nothing_open(board: Scoreboard) -> OpenFiles:
    return OpenFiles(board, lambda _: 1, lambda _: None)


def _told(board: Scoreboard) -> tuple[bool, str]:
    found = passthrough.status(board, _nothing_open(board))
    return found.passthrough, found.reason


def test_it_is_the_kernel_unless_told_otherwise() -> None:
    assert Settings().passthrough


@pytest.mark.usefixtures("extended")
def test_the_kernel_does_where_it_can(board: Scoreboard) -> None:
    passthrough.decide(board, RECORDED, wanted=True)
    assert _told(board) == (True, "")


@pytest.mark.usefixtures("extended")
def test_workers_do_where_that_is_wanted_and_for_as_long_as_the_connection_lasts(board: Scoreboard) -> None:
    passthrough.decide(board, RECORDED, wanted=False)
    assert _told(board) == (False, "passthrough is switched off")
    passthrough.decide(board, RECORDED, wanted=True)
    assert _told(board) == (False, "passthrough is switched off")


@pytest.mark.usefixtures("extended")
def test_workers_do_where_the_kernel_does_not_offer_it(board: Scoreboard) -> None:
    older = bytearray(RECORDED)
    (flags,) = struct.unpack_from("=I", older, _FLAGS_2)
    struct.pack_into("=I", older, _FLAGS_2, flags & ~(InitFlag.PASSTHROUGH >> 32))
    passthrough.decide(board, bytes(older), wanted=True)
    assert _told(board) == (False, "this kernel's FUSE has no passthrough")


@pytest.mark.usefixtures("extended")
@pytest.mark.parametrize(("minor", "does"), [(40, False), (41, True)])
def test_workers_do_where_the_kernel_forgets_that_files_grow(board: Scoreboard, minor: int, *, does: bool) -> None:
    older = bytearray(RECORDED)
    struct.pack_into("=I", older, _MINOR, minor)
    passthrough.decide(board, bytes(older), wanted=True)
    through, reason = _told(board)
    assert (through, "Linux 6.12 is needed" in reason) == (does, not does)


def test_workers_do_where_libfuse_is_too_old(board: Scoreboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passthrough, "extended", lambda: False)
    passthrough.decide(board, RECORDED, wanted=True)
    through, reason = _told(board)
    assert not through
    assert "libfuse 3.17" in reason


@pytest.mark.usefixtures("extended")
def test_that_the_kernel_refuses_a_file_is_told(board: Scoreboard) -> None:
    def refuse(_: int) -> int:
        raise OSError(errno.ELOOP, "")

    passthrough.decide(board, RECORDED, wanted=True)
    files = OpenFiles(board, refuse, lambda _: None)
    _, backing_id = files.open(NodeId(7), board.slot(0), 5)
    found = passthrough.status(board, files)
    assert (backing_id, found.passthrough, found.open_files, found.backing_ids) == (0, True, 1, 0)
    assert found.reason.startswith("some files go through a worker: the kernel refused a backing id, Too many")
