"""What nfsd tells of its clients, as captured from Linux 6.12, and as a hostile client may make it up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.errors import CommandError
from appliance.nfs.clients import State, parse_info, parse_rmtab, parse_states
from appliance.nfs.knfsd import Knfsd
from appliance.nfs.nfsd_files import NfsdFiles

INFO = """clientid: 0x6d077c99675df2b3
address: "192.0.2.7:864"
status: confirmed
seconds from last renew: 12
name: "Linux NFSv4.2 desk"
minor version: 2
Implementation domain: "kernel.org"
Implementation name: "Linux 6.12.0 x86_64"
Implementation time: [0, 0]
callback state: UP
callback address: 192.0.2.7:0
admin-revoked states: 0
"""
STATES = (
    '- 0x0000000166c5f3d7a1b2c3d400000001: { type: open, access: rw, deny: --, superblock: "00:2f:21", '
    'filename: "share/f", owner: "open id:\\x00\\x00\\x00" }\n'
    '- 0x0000000166c5f3d7a1b2c3d400000002: { type: lock, superblock: "00:2f:-5812675194988396608", '
    'filename: "share/f", owner: "lock id:x" }\n'
    '- 0x0000000166c5f3d7a1b2c3d400000003: { type: deleg, access: r, superblock: "00:30:21", filename: "other/f" }\n'
    '- 0x0000000166c5f3d7a1b2c3d400000004: { type: open, access: r-, deny: --, owner: "x", admin-revoked }\n'
)


def test_a_client_is_read() -> None:
    info = parse_info(INFO)
    assert (info.address, info.name, info.status, info.minor_version) == (
        *("192.0.2.7:864", "Linux NFSv4.2 desk", "confirmed", 2),
    )
    assert (info.seconds_since_renew, info.callback_state, info.callback_address) == (12, "UP", "192.0.2.7:0")
    assert info.implementation == "Linux 6.12.0 x86_64"


def test_a_client_cannot_make_up_fields_by_its_name() -> None:
    # The kernel escapes quotes, backslashes and what is not printable.
    text = INFO.replace('"Linux NFSv4.2 desk"', r'"a\x0astatus: courtesy\x0aaddress: \x22::1\x22 \x5c\xff"')
    info = parse_info(text)
    assert (info.status, info.address) == ("confirmed", "192.0.2.7:864")
    assert info.name == 'a\\x0astatus: courtesy\\x0aaddress: "::1" \\\\xff'
    assert parse_info("") == parse_info("nonsense\n: \n")
    assert parse_info("minor version: x\nseconds from last renew: -3").seconds_since_renew is None


def test_states_are_read() -> None:
    opened, lock, delegation, revoked = parse_states(STATES)
    assert opened == State("open", "rw", "--", (0, 0x2F), 21, "share/f", revoked=False)
    # The kernel prints a node id as a signed number.
    assert (lock.kind, lock.node, lock.access) == ("lock", 2**64 - 5812675194988396608, "")
    assert (delegation.kind, delegation.device, delegation.access) == ("delegation", (0, 0x30), "r")
    assert (revoked.device, revoked.node, revoked.filename, revoked.revoked) == (None, None, "", True)


@pytest.mark.parametrize("name", ['"', 'f", superblock: "00:99:7', 'x", owner: "y', "a, admin-revoked }", "}", "é \\"])
def test_a_file_s_name_changes_nothing_but_itself(name: str) -> None:
    line = f'- 0x01: {{ type: open, access: r-, deny: -w, superblock: "00:2f:21", filename: "d/{name}", owner: "o" }}'
    (state,) = parse_states(line)
    assert (state.kind, state.access, state.deny, state.device, state.node) == ("open", "r", "-w", (0, 0x2F), 21)
    assert not state.revoked
    assert state.filename.startswith("d/")


def test_what_is_no_state_is_left_out() -> None:
    assert parse_states("\n- 0xzz: { type: open }\n- 0x1: { type: format-disk }\nfoo\n") == []


def test_clients_are_read_from_files_by_their_numbers(tmp_path: Path) -> None:
    for number in (3, 12):
        (tmp_path / "clients" / str(number)).mkdir(parents=True)
        (tmp_path / "clients" / str(number) / "info").write_text(INFO)
        (tmp_path / "clients" / str(number) / "ctl").write_text("not to be read")
    (tmp_path / "clients" / "12" / "states").write_bytes(STATES.replace("share/f", "b\xff\ny").encode("latin-1"))
    knfsd = Knfsd(NfsdFiles(tmp_path, 10), ())
    clients = asyncio.run(knfsd.clients())
    assert list(clients) == [3, 12]
    assert clients[3] == (parse_info(INFO), [])
    assert [state.kind for state in clients[12][1]] == ["open", "lock", "delegation", "open"]
    asyncio.run(knfsd.expire(3))
    assert (tmp_path / "clients" / "3" / "ctl").read_text() == "expire\n"
    with pytest.raises(CommandError):
        asyncio.run(knfsd.expire(4))


def test_a_server_without_clients_has_none(tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    assert asyncio.run(Knfsd(NfsdFiles(tmp_path, 10), ()).clients()) == {}
    with pytest.raises(CommandError):
        asyncio.run(Knfsd(NfsdFiles(tmp_path / "none", 10), ()).clients())


def test_rmtab_is_read() -> None:
    text = "192.0.2.1:/exports/a:0x00000001\n2001:db8::1:/exports/a:b:0x00000002\nnonsense\n::\n"
    assert parse_rmtab(text) == [("192.0.2.1", "/exports/a"), ("2001:db8::1", "/exports/a:b")]
