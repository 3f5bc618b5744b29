"""Modules are loaded from in here only where that is needed, allowed and possible; else it is said what is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.errors import KernelError, PermissionMissing
from appliance.linux import process
from appliance.supervisor import modules

_ALL = frozenset(range(41))
_SYS_MODULE = 16


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[int]]:
    """What capabilities the process has kept; it has all of them at first."""
    kept: list[frozenset[int]] = []
    monkeypatch.setattr(process, "effective_capabilities", lambda: _ALL)
    monkeypatch.setattr(process, "keep_capabilities", kept.append)
    return kept


def _root(at: Path, filesystems: str) -> Path:
    (at / "proc/self").mkdir(parents=True)
    (at / "proc/self/status").write_text(f"CapEff:\t{(1 << 41) - 1:016x}\n")
    (at / "proc/filesystems").write_text("".join(f"nodev\t{name}\n" for name in filesystems.split()))
    return at


def _never(kind: str) -> bool:
    raise AssertionError(f"nobody has to ask for {kind}")


def test_what_is_there_is_not_asked_for(tmp_path: Path, kept: list[frozenset[int]]) -> None:
    modules.load(_root(tmp_path, "fuse nfsd"), _never)
    assert kept == [_ALL - {_SYS_MODULE}]


def test_what_the_kernel_loads_by_itself_needs_no_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def by_itself(kind: str) -> bool:
        asked.append(kind)
        return True

    monkeypatch.setattr(process, "effective_capabilities", frozenset)
    monkeypatch.setattr(process, "keep_capabilities", lambda _: None)
    modules.load(_root(tmp_path, "fuse"), by_itself)
    assert asked == ["nfsd"]


def test_without_the_right_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "effective_capabilities", lambda: _ALL - {_SYS_MODULE})
    with pytest.raises(PermissionMissing, match="CAP_SYS_MODULE, which loading nfsd needs") as caught:
        modules.load(_root(tmp_path, "fuse"), lambda _: False)
    assert "--cap-add SYS_MODULE" in caught.value.hint


@pytest.mark.usefixtures("kept")
def test_without_the_modules_of_the_host(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=f"there is no {tmp_path}/lib/modules/{os.uname().release}") as caught:
        modules.load(_root(tmp_path, "fuse"), lambda _: False)
    assert "--volume /lib/modules:/lib/modules:ro" in caught.value.hint


def test_what_modprobe_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: list[frozenset[int]]
) -> None:
    (tmp_path / "lib/modules" / os.uname().release).mkdir(parents=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    modprobe = programs / "modprobe"
    modprobe.write_text('#!/bin/sh\necho "Module $2 not found" >&2\nexit 1\n')
    modprobe.chmod(0o755)
    monkeypatch.setattr(modules, "ENVIRONMENT", {"PATH": f"{programs}:/usr/bin:/bin"})
    with pytest.raises(KernelError, match="nfsd cannot be loaded: Module nfsd not found"):
        modules.load(_root(tmp_path, "fuse"), lambda _: False)
    assert kept == []
    modprobe.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/loaded\n')
    modules.load(tmp_path, lambda _: False)
    assert (tmp_path / "loaded").read_text() == "-- nfsd\n"
    assert kept == [_ALL - {_SYS_MODULE}]
