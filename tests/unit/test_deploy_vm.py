"""The virtual machine's command lines, without starting one."""

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.vm import session
from deploy.vm.channel import REMOTE, Channel, executable
from deploy.vm.machine import Forward, Machine, Spec, qemu_argv
from deploy.vm.system import SystemDisk

SYSTEM = SystemDisk.within(Path("/cache/system"))
HOME = Path("/run/vm")


def _values(argv: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(argv) if name == option]


def test_ports_are_forwarded_from_loopback_only() -> None:
    argv = qemu_argv(Spec(SYSTEM, forwards=(Forward(5000, 2049), Forward(5001, 22))), HOME)
    assert _values(argv, "-nic") == [
        "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:5000-:2049,hostfwd=tcp:127.0.0.1:5001-:22"
    ]


def test_the_disk_is_left_alone_unless_changes_are_wanted() -> None:
    assert "-snapshot" in qemu_argv(Spec(SYSTEM), HOME)
    assert "-snapshot" not in qemu_argv(Spec(SYSTEM, keep_changes=True), HOME)


def test_a_comma_in_a_path_is_no_option() -> None:
    argv = qemu_argv(Spec(SYSTEM, drives=(Path("/a,readonly=off"),), files=Path("/b,c")), HOME)
    assert _values(argv, "-drive")[1] == "if=virtio,format=raw,readonly=on,file=/a,,readonly=off"
    assert _values(argv, "-virtfs") == ["local,path=/b,,c,mount_tag=files,security_model=none,readonly=on"]


def test_a_machine_is_not_known_by_a_process_id_alone(tmp_path: Path) -> None:
    assert Machine.find(tmp_path) is None
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    assert Machine.find(tmp_path) is None


@pytest.mark.parametrize("status", [0, 7, 255])
def test_the_remote_command_runs_a_script_and_keeps_its_status(tmp_path: Path, status: int) -> None:
    (tmp_path / "environment").write_text("export FROM_LAB=there\n")
    command = REMOTE.format(lab=tmp_path, job="job", timeout="10.0")
    script = executable(f'read line; echo "$FROM_LAB [$line]"; exit {status}')
    done = subprocess.run(["sh", "-c", command], input=script, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (status, b"there []\n")
    assert (tmp_path / "job.status").read_text() == f"{status}\n"


def test_a_script_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "environment").touch()
    command = REMOTE.format(lab=tmp_path, job="job", timeout="0.2")
    done = subprocess.run(["sh", "-c", command], input=executable("sleep 30"), check=False, timeout=20)
    assert done.returncode == 124


def test_a_script_says_its_language_or_is_bash() -> None:
    assert executable("#!/usr/bin/python3\n") == b"#!/usr/bin/python3\n"
    assert executable(b"\xff") == b"#!/bin/bash\n\xff"


def test_the_shell_takes_only_the_machines_own_key() -> None:
    argv = Channel(HOME, 5001).argv()
    assert "-oHostKeyAlias=holdfast-vm" in argv
    assert "-oUserKnownHostsFile=/run/vm/known_hosts" in argv
    assert not any("StrictHostKeyChecking=no" in argument for argument in argv)


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    for name in ("old", "new", "running"):
        (tmp_path / name).mkdir()
    pretended = tmp_path / "running/serial.log"
    child = subprocess.Popen(
        ["sh", "-c", "echo ready; read wait", str(pretended)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout
    child.stdout.readline()  # a process that has only just begun its program shows no command line yet
    (tmp_path / "running/pid").write_text(str(child.pid))
    for name in ("old", "running"):
        os.utime(tmp_path / name, (1, 1))
    session._sweep(tmp_path)
    child.communicate(b"\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "running"]
