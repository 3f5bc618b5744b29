"""Small parts of the supervisor: back-off, mountinfo, the token, what must be true before a start."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from appliance.errors import (
    CommandError,
    DeviceError,
    KernelError,
    PermissionMissing,
    PortError,
    SettingsError,
    StateError,
)
from appliance.settings import Settings
from appliance.supervisor import preconditions, state_dir
from appliance.supervisor.mountinfo import Mount, at, below, parse

# Captured in a container; the last line is a path with a space, a tab and a backslash.
MOUNTINFO = r"""
521 448 0:52 / / rw,relatime master:207 - overlay overlay rw,lowerdir=/l/A:/l/B
560 521 0:57 / /exports rw,nosuid,nodev,noexec,relatime shared:231 - tmpfs holdfast-exports rw,size=1024k,mode=755
570 560 0:61 / /exports/share rw,nosuid,nodev,relatime shared:240 - fuse.holdfast share rw,user_id=0,group_id=0
571 560 0:62 / /exports/a\040b\011\134 rw - fuse.holdfast a\040b rw
"""


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTINFO)
    return path


def test_mountinfo() -> None:
    mounts = parse(MOUNTINFO)
    assert mounts[1] == Mount(Path("/exports"), "tmpfs", "holdfast-exports", (0, 57))
    assert mounts[3] == Mount(Path("/exports/a b\t\\"), "fuse.holdfast", "a b", (0, 62))
    assert parse("what is this\n") == []


def test_mounts_below_a_directory(mountinfo: Path) -> None:
    assert [mount.path.name for mount in below(Path("/exports"), mountinfo)] == ["share", "a b\t\\"]
    seen = at(Path("/exports/share"), mountinfo)
    assert seen is not None
    assert seen.kind == "fuse.holdfast"
    assert at(Path("/exports/other"), mountinfo) is None


def test_mounts_with_any_bytes_in_their_names_confuse_nobody(tmp_path: Path) -> None:
    path = tmp_path / "mountinfo"
    odd = b"/srv/\xff\xc2\xa0\x0c\r\xe2\x80\xa8x"
    path.write_bytes(b"600 521 0:70 / " + odd + b" rw - ext4 /dev/\xff rw\n" + MOUNTINFO.encode())
    assert [os.fsencode(mount.path) for mount in below(Path("/srv"), path)] == [odd]
    seen = at(Path("/exports"), path)
    assert seen is not None
    assert seen.kind == "tmpfs"


def test_a_token_is_made_once_and_guarded(tmp_path: Path) -> None:
    path = tmp_path / "api-token"
    assert state_dir.make_token(path, os.getgid())
    token = path.read_text()
    assert len(token.strip()) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not state_dir.make_token(path, os.getgid())
    assert path.read_text() == token


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(state_dir=tmp_path / "file" / "state", run_dir=tmp_path / "run")
    with pytest.raises(StateError) as caught:
        state_dir.prepare(settings, os.getgid())
    assert caught.value.exit_code == 73


def test_the_database_and_the_tables_are_for_root_alone(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", run_dir=tmp_path / "run")
    state_dir.prepare(settings, os.getgid())
    assert stat.S_IMODE(settings.database.stat().st_mode) == 0o600
    assert stat.S_IMODE((settings.state_dir / "tables").stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.state_dir.stat().st_mode) == 0o711


def test_missing_nfsd() -> None:
    preconditions.check_nfsd("nodev\tproc\nnodev\tnfsd\n")
    with pytest.raises(KernelError) as caught:
        preconditions.check_nfsd("nodev\tproc\nnodev\tnfs\n", lambda _: False)
    preconditions.check_nfsd("nodev\tproc\n", lambda kind: kind == "nfsd")  # it was a module that was not loaded
    assert "modprobe nfsd" in caught.value.hint
    assert (caught.value.code, caught.value.exit_code) == ("no-nfsd", 69)


def test_missing_programs() -> None:
    preconditions.check_programs(("cat",))
    with pytest.raises(CommandError, match=r"no-such-program, nor-this"):
        preconditions.check_programs(("cat", "no-such-program", "nor-this"))


def test_missing_user() -> None:
    assert preconditions.check_user("root").pw_uid == 0
    with pytest.raises(SettingsError, match="nobody-of-this-name"):
        preconditions.check_user("nobody-of-this-name")


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError) as caught:
            preconditions.check_port(port, "the NFS server", "HOLDFAST_NFS_PORT")
        assert str(port) in caught.value.message
        assert "HOLDFAST_NFS_PORT" in caught.value.hint
        assert caught.value.exit_code == 75
    preconditions.check_port(port, "the NFS server", "HOLDFAST_NFS_PORT")


def test_each_reason_not_to_start_has_a_status_of_its_own() -> None:
    kinds = (SettingsError, StateError, DeviceError, KernelError, PermissionMissing, PortError, CommandError)
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
