"""Codecs: a round trip for every inode, no two inodes with one node id, never 0 or the root's."""

import struct
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from appliance.errors import SourceError
from appliance.fuse.codecs import btrfs, xfs
from appliance.fuse.codecs.btrfs import BtrfsCodec
from appliance.fuse.codecs.choice import CodecChoice, Kind, confirm, needs_sys_admin
from appliance.fuse.codecs.ino32 import Ino32Codec
from appliance.fuse.codecs.table import TableCodec
from appliance.fuse.codecs.xfs import XfsCodec
from appliance.fuse.key import HandleKey, new_key
from appliance.fuse.nodes import ROOT, Codec, NodeId, Outside, Stale
from appliance.linux.handles import NativeHandle

generations = st.integers(min_value=0, max_value=2**32 - 1)
splits = st.integers(min_value=32, max_value=48)
node_ids = st.integers(min_value=0, max_value=2**64 - 1)


def xfs_handle(inode: int, generation: int) -> NativeHandle:
    return NativeHandle(xfs.TYPE, struct.pack("=QI", inode, generation))


def btrfs_handle(inode: int, subvolume: int, generation: int) -> NativeHandle:
    return NativeHandle(btrfs.TYPE, struct.pack("=QQI", inode, subvolume, generation))


class Filesystem:
    """An XFS that has the inodes it is told of."""

    def __init__(self, **inodes: int) -> None:
        self.generations = {int(inode[1:]): generation for inode, generation in inodes.items()}

    def generation_of(self, inode: int) -> int | None:
        return self.generations.get(inode)


@given(st.data(), splits, generations)
def test_an_xfs_handle_comes_back_whole_although_its_generation_is_cut(
    data: st.DataObject, bits: int, generation: int
) -> None:
    inode = data.draw(st.integers(min_value=2, max_value=2**bits - 1))
    codec = XfsCodec(bits, {inode: generation}.get)
    node, _ = codec.encode(xfs_handle(inode, generation))
    assert node < 2**64
    assert node not in (0, ROOT)
    assert codec.decode(node) == xfs_handle(inode, generation)


@given(st.data(), splits, generations, generations)
def test_an_xfs_inode_number_that_came_back_is_not_served_under_the_old_node_id(
    data: st.DataObject, bits: int, generation: int, later: int
) -> None:
    inode = data.draw(st.integers(min_value=2, max_value=2**bits - 1))
    kept = (1 << 64 - bits) - 1
    assume(generation & kept != later & kept)
    codec = XfsCodec(bits, {inode: later}.get)
    node, _ = codec.encode(xfs_handle(inode, generation))
    if bits > 32:
        with pytest.raises(Stale):
            codec.decode(node)
    else:  # the whole generation is in the node id, and XFS itself compares it
        assert codec.decode(node) == xfs_handle(inode, generation)


def test_a_freed_xfs_inode_is_stale() -> None:
    codec = XfsCodec(40, Filesystem(i77=5).generation_of)
    assert codec.decode(NodeId(5 << 40 | 77)) == xfs_handle(77, 5)
    for node in (5 << 40 | 78, 6 << 40 | 77, 0, 1, 1 << 40 | 1):
        with pytest.raises(Stale):
            codec.decode(NodeId(node))


def test_xfs_inodes_keep_their_identity_when_it_is_mounted_with_inode32() -> None:
    codec = XfsCodec(40, Filesystem().generation_of)
    short = NativeHandle(1, struct.pack("=II", 77, 5))
    assert codec.encode(short) == codec.encode(xfs_handle(77, 5))


def test_an_xfs_that_outgrew_its_share_is_refused_not_confused() -> None:
    with pytest.raises(OverflowError, match="40 bits"):
        XfsCodec(40, Filesystem().generation_of).encode(xfs_handle(1 << 40, 5))


@given(st.integers(min_value=1, max_value=63))
def test_the_split_leaves_room_to_grow_and_for_generations(bits: int) -> None:
    inode_bits = xfs.split(bits)
    assert 32 <= inode_bits <= 48
    assert inode_bits >= min(bits + 8, 48)


@given(st.integers(min_value=256, max_value=2**63), st.integers(min_value=5, max_value=2**40), generations)
def test_a_btrfs_handle_comes_back_but_for_the_generation(inode: int, subvolume: int, generation: int) -> None:
    codec = BtrfsCodec(subvolume)
    node, _ = codec.encode(btrfs_handle(inode, subvolume, generation))
    assert node == inode
    assert codec.decode(node) == btrfs_handle(inode, subvolume, 0)


def test_another_btrfs_subvolume_is_outside() -> None:
    with pytest.raises(Outside):
        BtrfsCodec(5).encode(btrfs_handle(256, 300, 7))


handles = st.builds(NativeHandle, st.integers(min_value=1, max_value=255), st.binary(min_size=1, max_size=128))


@settings(deadline=None)  # each new handle waits for storage
@given(st.lists(handles, unique=True, max_size=20))
def test_a_table_numbers_each_handle_once_for_all_who_share_it(
    tmp_path_factory: pytest.TempPathFactory, seen: list[NativeHandle]
) -> None:
    path = tmp_path_factory.mktemp("table") / "handles.db"
    one, other = TableCodec(path), TableCodec(path)
    nodes = [(one if index % 2 else other).encode(handle).node for index, handle in enumerate(seen)]
    assert len(set(nodes)) == len(seen)
    assert all(node > ROOT for node in nodes)
    assert [one.decode(node) for node in nodes] == seen
    assert [other.encode(handle).node for handle in seen] == nodes
    one.close()
    other.close()
    again = TableCodec(path)
    assert [again.encode(handle).node for handle in seen] == nodes
    again.close()


@pytest.mark.parametrize("node", [0, 1, 2, 2**63, 2**64 - 1])
def test_a_table_does_not_know_what_it_never_gave_out(tmp_path: Path, node: int) -> None:
    codec = TableCodec(tmp_path / "handles.db")
    with pytest.raises(Stale):
        codec.decode(NodeId(node))
    codec.close()


@given(node_ids)
def test_any_number_is_decoded_or_stale(node: int) -> None:
    for codec in (XfsCodec(40, Filesystem(i77=5).generation_of), BtrfsCodec(5)):
        try:
            handle = codec.decode(NodeId(node))
        except Stale:
            continue
        assert codec.encode(handle).node == node


@given(st.binary(min_size=1, max_size=128), st.binary(min_size=1, max_size=128))
def test_generations_tell_inodes_and_keys_apart(inode: bytes, other: bytes) -> None:
    key = new_key()
    generation = HandleKey(key).generation(inode)
    assert generation == HandleKey(key).generation(inode)
    assert 0 <= generation < 2**32
    if inode != other:  # once in 2^32
        assert generation != HandleKey(key).generation(other)
    assert generation != HandleKey(new_key()).generation(inode)


def test_a_source_that_became_another_filesystem_is_refused() -> None:
    was = CodecChoice(Kind.BTRFS, subvolume=256)
    confirm(was, CodecChoice(Kind.BTRFS, subvolume=256), Path("/srv/data"))
    for now in (CodecChoice(Kind.BTRFS, subvolume=257), CodecChoice(Kind.INO32)):
        with pytest.raises(SourceError, match="/srv/data") as caught:
            confirm(was, now, Path("/srv/data"))
        assert caught.value.code == "source-changed"


def test_an_xfs_that_has_grown_is_the_same_source() -> None:
    confirm(CodecChoice(Kind.XFS, inode_bits=40), CodecChoice(Kind.XFS, inode_bits=41), Path("/srv/data"))


def test_only_an_xfs_with_cut_generations_costs_a_capability() -> None:
    assert needs_sys_admin(CodecChoice(Kind.XFS, inode_bits=40))
    assert not needs_sys_admin(CodecChoice(Kind.XFS, inode_bits=32))
    assert not needs_sys_admin(CodecChoice(Kind.INO32))


# Both numbers small now and then, so that the edges are met.
any_inodes = st.integers(min_value=0, max_value=3) | st.integers(min_value=0, max_value=2**32 - 1)


@given(st.lists(st.tuples(any_inodes, generations), unique_by=lambda live: live[0], max_size=10), splits)
def test_no_two_live_inodes_have_one_node_id_and_none_has_0_or_the_roots(
    live: list[tuple[int, int]], bits: int
) -> None:
    """A live inode is one of its number: whatever the generations are, and however they are cut."""
    codecs: dict[str, Codec] = {
        "ino32": Ino32Codec(),
        "xfs": XfsCodec(bits, dict(live).get),
        "btrfs": BtrfsCodec(5),
    }
    for name, codec in codecs.items():
        nodes = []
        for inode, generation in live:
            handle = {
                "ino32": NativeHandle(1, struct.pack("=II", inode, generation)),
                "xfs": xfs_handle(inode, generation),
                "btrfs": btrfs_handle(inode, 5, generation),
            }[name]
            try:
                nodes.append(codec.encode(handle).node)
            except Outside:
                assert inode <= ROOT
                continue
            if name != "btrfs":  # which leaves the generation out: there was only ever one inode of the number
                assert codec.decode(nodes[-1]) == handle
        assert len(set(nodes)) == len(nodes)
        assert all(ROOT < node < 2**64 for node in nodes)
