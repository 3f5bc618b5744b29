"""Handles as people paste them."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.checks import fileid, forms
from appliance.checks.forms import MountHandle, NfsHandle, SourceHandle
from appliance.errors import RequestError
from appliance.fuse.nodes import NodeId
from appliance.linux.handles import NativeHandle

FSID = UUID("5d3a1b42-1111-4222-8333-123456789abc")
HANDLE = fileid.encode(NodeId(0x12345678_0000000C), 0xDEADBEEF)


def test_a_knfsd_handle() -> None:
    data = bytes.fromhex("01000681" + FSID.hex) + HANDLE.data
    assert next(forms.readings(data)) == NfsHandle(FSID, HANDLE)
    assert forms.parse_nfs(bytes.fromhex("01000600" + FSID.hex)) == NfsHandle(FSID, None)
    with_inode = bytes.fromhex("0100078112345678deadbeef" + FSID.hex) + HANDLE.data
    assert forms.parse_nfs(with_inode) == NfsHandle(FSID, HANDLE)
    assert forms.parse_nfs(bytes.fromhex("0100018100000000") + HANDLE.data) == NfsHandle(None, HANDLE)


@given(st.integers(2, 2**64 - 1), st.integers(0, 2**32 - 1), st.uuids(), st.sampled_from([0o100000, 0o040000]))
def test_what_a_client_holds_has_the_servers_handle_in_it(node: int, generation: int, fsid: UUID, kind: int) -> None:
    handle = fileid.encode(NodeId(node), generation)
    assert (fileid.node_of(handle), fileid.generation_of(handle)) == (node, generation)
    server = forms.nfs_handle(handle, fsid)
    # As fs/nfs/export.c writes it: fileid, type, struct nfs_fh.
    data = struct.pack("=IIIH", node >> 32, node & 0xFFFFFFFF, kind, len(server)) + server
    data += bytes(-len(data) % 4)
    assert forms.of_client(NativeHandle(len(data) // 4, data)) == NfsHandle(fsid, handle)


def test_the_roots_handle_has_no_inode_in_it() -> None:
    assert forms.parse_nfs(forms.nfs_handle(forms.root_handle(), FSID)) == NfsHandle(FSID, None)


def test_bare_bytes_may_be_of_a_mount_or_of_a_source() -> None:
    assert list(forms.readings(HANDLE.data)) == [MountHandle(HANDLE), SourceHandle(None, HANDLE.data)]
    assert list(forms.readings(bytes(8))) == [SourceHandle(None, bytes(8))]
    head = (12).to_bytes(4, "little") + (0x81).to_bytes(4, "little")
    assert list(forms.readings(head + HANDLE.data)) == [MountHandle(HANDLE), SourceHandle(0x81, HANDLE.data)]


@pytest.mark.parametrize("text", ["01:00:06", "0x", "", "0g", "123", "00" * 200])
def test_what_is_no_handle_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        forms.parse_hex(text)
    assert (caught.value.code, caught.value.field) == ("handle-invalid", "hex")


@pytest.mark.parametrize("text", ["0x01000681", "01 00 06 81", "01:00:06:81\n", "0100-0681"])
def test_digits_are_read_as_they_are_pasted(text: str) -> None:
    assert forms.parse_hex(text) == b"\1\0\6\x81"


@given(st.binary(min_size=1, max_size=140))
def test_anything_may_be_pasted(data: bytes) -> None:
    assert all(isinstance(form, NfsHandle | MountHandle | SourceHandle) for form in forms.readings(data))
    forms.of_client(NativeHandle(len(data) // 4, data))
