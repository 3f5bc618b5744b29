"""Node ids: a round trip for every inode, no two inodes with one id, never the root's."""

import errno

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.fuse.codecs.ino32 import Ino32Codec
from appliance.fuse.nodes import ROOT, NodeId, Outside, Stale
from appliance.linux.handles import NativeHandle

inodes = st.integers(min_value=2, max_value=2**32 - 1)
generations = st.integers(min_value=0, max_value=2**32 - 1)
codec = Ino32Codec()


def handle(inode: int, generation: int) -> NativeHandle:
    return NativeHandle(1, inode.to_bytes(4, "little") + generation.to_bytes(4, "little"))


@given(inodes, generations)
def test_a_handle_comes_back_from_its_node_id(inode: int, generation: int) -> None:
    node, _ = codec.encode(handle(inode, generation))
    assert codec.decode(node) == handle(inode, generation)
    assert node not in (0, ROOT)


@given(inodes, generations, inodes, generations)
def test_two_handles_never_share_a_node_id(inode: int, generation: int, other: int, later: int) -> None:
    assume((inode, generation) != (other, later))
    assert codec.encode(handle(inode, generation)) != codec.encode(handle(other, later))


@pytest.mark.parametrize("node", [0, 1, 1 << 32, 1 << 32 | 1])
def test_numbers_that_no_inode_can_have_are_stale(node: int) -> None:
    with pytest.raises(Stale) as caught:
        codec.decode(NodeId(node))
    assert caught.value.errno == errno.ESTALE


def test_only_generation_zero_opens_any_inode() -> None:
    assert codec.opens_any(NodeId(77))
    assert not codec.opens_any(NodeId(1 << 32 | 77))


@pytest.mark.parametrize(
    "foreign",
    [
        NativeHandle(1, bytes(12)),  # tmpfs: the same type, another length
        NativeHandle(0x81, bytes(12)),  # xfs
        NativeHandle(0x4D, bytes(20)),  # btrfs
        NativeHandle(0xF8, bytes(32)),  # overlayfs
    ],
)
def test_handles_of_other_kinds_are_not_taken_for_ours(foreign: NativeHandle) -> None:
    with pytest.raises(Outside):
        codec.encode(foreign)
