"""What the container has to be allowed: each thing that is missing is named, with the option that gives it."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from appliance.errors import DeviceError, MountError, PermissionMissing
from appliance.supervisor import privileges
from deploy.paths import CHECKOUT

_ALL = (1 << 41) - 1


def _status(effective: int) -> str:
    return f"CapInh:\t0000000000000000\nCapPrm:\t{_ALL:016x}\nCapEff:\t{effective:016x}\n"


@pytest.mark.parametrize("name", privileges.CAPABILITIES)
def test_a_missing_capability_is_named(name: str) -> None:
    bit, purpose = privileges.CAPABILITIES[name]
    privileges.check_capabilities(_status(_ALL))
    with pytest.raises(PermissionMissing, match=purpose) as caught:
        privileges.check_capabilities(_status(_ALL & ~(1 << bit)))
    assert caught.value.message.count("CAP_") == 1
    assert f"--cap-add {name.removeprefix('CAP_')}" in caught.value.hint
    assert (caught.value.code, caught.value.exit_code) == ("capability-missing", 77)


def test_all_missing_capabilities_are_named_at_once() -> None:
    with pytest.raises(PermissionMissing) as caught:
        privileges.check_capabilities(_status(0))
    assert all(name in caught.value.message for name in privileges.CAPABILITIES)


def test_the_compose_file_gives_what_is_checked_and_no_more() -> None:
    text = (CHECKOUT / "compose.yaml").read_text()
    added = re.search(r"cap_add:\n((?: +- .*\n)+)", text)
    assert added
    given = {f"CAP_{name}" for name in re.findall(r"- (\w+)", added[1])}
    assert given == set(privileges.CAPABILITIES)
    assert "privileged:" not in text


def test_missing_fuse(tmp_path: Path) -> None:
    for path in (tmp_path / "fuse", tmp_path):
        with pytest.raises(DeviceError) as caught:
            privileges.check_fuse(path)
        assert "modprobe fuse" in caught.value.hint
        assert caught.value.exit_code == 72
    privileges.check_fuse(Path("/dev/null"))


def test_a_device_that_may_not_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DeviceError, match="may not be opened: Operation not permitted"):
        privileges.check_fuse(Path("/dev/null"))


def test_a_profile_that_forbids_a_host_name_of_one_s_own() -> None:
    privileges.check_host_name(("true",))
    with pytest.raises(PermissionMissing, match="Function not implemented") as caught:
        privileges.check_host_name(("sh", "-c", "echo 'unshare failed: Function not implemented' >&2; exit 1"))
    assert "seccomp.json" in caught.value.hint
    assert (caught.value.code, caught.value.exit_code) == ("host-name-forbidden", 77)


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    privileges.check_writable((tmp_path, tmp_path / "made"))
    assert (tmp_path / "made").is_dir()
    assert not list((tmp_path / "made").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(MountError) as caught:
        privileges.check_writable((tmp_path / "file" / "below",))
    assert f"--tmpfs {tmp_path}/file/below" in caught.value.hint
    assert caught.value.code == "not-writable"


def test_a_refused_mount_is_told_from_a_failed_one() -> None:
    refused = privileges.mount_refused("/exports", PermissionError(errno.EACCES, "Permission denied"))
    assert refused.code == "mount-forbidden"
    assert "apparmor=unconfined" in refused.hint
    assert privileges.mount_refused("/exports", OSError(errno.ENOMEM, "Cannot allocate memory")).code == "mount"


def test_the_manifests_give_the_same_capabilities() -> None:
    wanted = set(privileges.CAPABILITIES)
    manifest = (CHECKOUT / "deploy/kubernetes/holdfast.yaml").read_text()
    added = re.search(r"add: \[([^]]*)\]", manifest)
    assert added
    assert {f"CAP_{name.strip()}" for name in added[1].split(",")} == wanted
    service = (CHECKOUT / "deploy/systemd/holdfast.service").read_text()
    unit = re.search(r"^CapabilityBoundingSet=(.*)$", service, re.MULTILINE)
    assert unit
    assert set(unit[1].split()) == wanted
