"""The FUSE messages we read and write ourselves, against bytes recorded from a kernel."""

import struct

import pytest

from appliance.fuse import protocol
from appliance.fuse.protocol import InitFlag, InitRequest

# FUSE_INIT as Linux 6.18 sent it on a new connection.
RECORDED = bytes.fromhex(
    "680000001a000000020000000000000000000000000000000000000000000000"
    "0000000000000000070000002d00000000000200fbffff73fd05000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000"
)


def test_a_recorded_offer_is_understood() -> None:
    request = InitRequest.parse(RECORDED)
    assert (request.unique, request.minor, request.max_readahead) == (2, 45, 128 * 1024)
    assert request.missing == InitFlag(0)
    assert InitFlag.HAS_RESEND in request.offered


def test_the_answer_accepts_what_both_want_and_nothing_else() -> None:
    answer = InitRequest.parse(RECORDED).answer()
    length, error, unique, major, minor, _, low = struct.unpack_from("=IiQIIII", answer)
    (high,) = struct.unpack_from("=I", answer, 16 + 32)
    assert (length, error, unique, major, minor) == (len(answer), 0, 2, 7, 40)
    assert len(answer) == 16 + 64
    assert InitFlag(low | high << 32) == protocol.WANTED


def test_a_kernel_without_resend_is_told_apart() -> None:
    without = bytearray(RECORDED)
    flags = struct.unpack_from("=I", without, 56)[0] & ~(InitFlag.HAS_RESEND >> 32)
    struct.pack_into("=I", without, 56, flags)
    assert InitRequest.parse(bytes(without)).missing == InitFlag.HAS_RESEND


@pytest.mark.parametrize("message", [b"", RECORDED[:40], RECORDED[:4] + b"\x01" + RECORDED[5:]])
def test_anything_but_an_offer_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="FUSE_INIT"):
        InitRequest.parse(message)


def test_notifications_have_the_kernels_layout() -> None:
    assert protocol.resend() == struct.pack("=IiQ", 16, 7, 0)
    assert protocol.invalidate_attributes(5) == struct.pack("=IiQQqq", 40, 2, 0, 5, -1, 0)
