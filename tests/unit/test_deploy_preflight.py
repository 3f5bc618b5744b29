"""What preflight concludes from what it sees; every line that failed has the command that mends it."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from deploy import sdk
from deploy.preflight import command, host, kernel, podman, ports, sources
from deploy.preflight.finding import Finding, Verdict, as_data, as_text, failed, note, ok, passes, unknown

_INFO: dict[str, Any] = {"ServerVersion": "27.5", "KernelVersion": os.uname().release, "CgroupVersion": "2",
                         "CgroupDriver": "systemd",
                         "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"]}


def _failed(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict is Verdict.FAILED]


@pytest.mark.parametrize("make", [failed, unknown])
def test_what_is_wrong_cannot_be_told_without_its_cure(make: Any) -> None:
    with pytest.raises(ValueError, match="without a command"):
        make("port 2049", "somebody has it", "")


def test_a_report() -> None:
    findings = [ok("a", "fine"), note("b", "fine, too", "look"), failed("long", "not there", "make it")]
    assert not passes(findings)
    assert passes(findings[:2])
    assert not passes([unknown("c", "only root", "sudo")])
    assert as_text(findings).splitlines()[-2:] == ["failed   long  not there", "               > make it"]
    data = as_data(findings)
    assert data["ok"] is False
    assert json.loads(json.dumps(data))["findings"][2] == {
        "subject": "long", "verdict": "failed", "message": "not there", "mend": "make it"}


def test_an_engine_as_it_should_be() -> None:
    assert not _failed(host.engine(_INFO))


@pytest.mark.parametrize(("change", "says", "mend"), [
    ({"KernelVersion": "1.0"}, "another kernel", "docker context"),
    ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "rootless", "docker context"),
    ({"SecurityOptions": ["name=seccomp", "name=userns"]}, "maps users", "userns_mode: host"),
])
def test_an_engine_that_hinders(change: dict[str, Any], says: str, mend: str) -> None:
    found = _failed(host.engine(_INFO | change))
    assert len(found) == 1
    assert says in found[0].message
    assert mend in found[0].mend


def test_security_modules(tmp_path: Path) -> None:
    assert not _failed(host.security_modules(tmp_path))
    apparmor = tmp_path / "sys/module/apparmor/parameters/enabled"
    apparmor.parent.mkdir(parents=True)
    apparmor.write_text("Y\n")
    assert host.security_modules(tmp_path)[0].verdict is Verdict.NOTE
    selinux = tmp_path / "sys/fs/selinux/enforce"
    selinux.parent.mkdir(parents=True)
    selinux.write_text("1")
    assert "label=disable" in _failed(host.security_modules(tmp_path))[0].mend
    assert not _failed(host.security_modules(tmp_path, unit=True))


def test_ports_are_those_that_the_container_is_to_have() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as other:
        other.bind(("127.0.0.2", 0))  # taken at another address than the one that is wanted
        nfs, api = taken.getsockname()[1], other.getsockname()[1]
        environment = {"HOLDFAST_NFS_BIND": str(nfs), "HOLDFAST_API_BIND": f"127.0.0.1:{api}"}
        found = ports.look(environment, frozenset())
        assert [finding.subject for finding in found] == [f"port {nfs}", f"port {api}"]
        assert [finding.verdict for finding in found] == [Verdict.FAILED, Verdict.OK], found
        assert f"sport = :{nfs}" in found[0].mend
        assert "HOLDFAST_NFS_BIND" in found[0].mend
        assert ports.look(environment, frozenset({nfs}))[0].verdict is Verdict.OK
        assert ports.rpcbind(nfs).verdict is Verdict.NOTE
    assert ports.look(environment, frozenset())[0].verdict is Verdict.OK
    assert ports.rpcbind(nfs).verdict is Verdict.OK


def test_ports_are_the_usual_ones_unless_something_else_is_said() -> None:
    found = ports.look({"HOLDFAST_NFS_BIND": ""}, frozenset({2049, 8080}))
    assert [(finding.subject, finding.verdict) for finding in found] == [
        ("port 2049", Verdict.OK), ("port 8080", Verdict.OK)]


@pytest.mark.parametrize("value", ["none", "0", "65536", "1.2.3.4:", "192.0.2.7:2049", "::1:2049", "999.0.0.1:1"])
def test_a_port_that_nobody_can_listen_at(value: str) -> None:
    found = ports.look({"HOLDFAST_NFS_BIND": value}, frozenset())[0]
    assert found.verdict is Verdict.FAILED
    assert found.subject == "HOLDFAST_NFS_BIND"
    assert found.mend.startswith("export HOLDFAST_NFS_BIND=2049")


def test_ports_that_the_appliance_has() -> None:
    bindings = {"2049/tcp": [{"HostIp": "192.0.2.1", "HostPort": "12049"}], "8080/tcp": None}
    inspected: dict[str, Any] = {"State": {"Running": True}, "HostConfig": {"NetworkMode": "holdfast_default"},
                                 "NetworkSettings": {"Ports": bindings}, "Config": {"ExposedPorts": {"2049/tcp": {}}}}
    assert sdk.ports_of(inspected) == {12049}
    assert sdk.ports_of(inspected | {"HostConfig": {"NetworkMode": "host"}}) == {2049}
    assert sdk.ports_of(inspected | {"State": {"Running": False}}) == frozenset()


def test_a_server_of_the_host_s_own(tmp_path: Path) -> None:
    assert host.own_server(tmp_path).verdict is Verdict.OK
    threads = tmp_path / "proc/fs/nfsd/threads"
    threads.parent.mkdir(parents=True)
    threads.write_text("8\n")
    assert "8 threads" in host.own_server(tmp_path).message


def test_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/filesystems").write_text("nodev\tproc\nnodev\tnfsd\n")
    assert kernel.module("nfsd", "NFS server", tmp_path).verdict is Verdict.OK
    monkeypatch.setattr(kernel, "succeeds", lambda _: True)
    assert kernel.module("fuse", "FUSE", tmp_path).verdict is Verdict.OK
    monkeypatch.setattr(kernel, "succeeds", lambda _: False)
    found = kernel.module("fuse", "FUSE", tmp_path)
    assert found.verdict is Verdict.FAILED
    assert found.mend.startswith("apt-get install")


def test_the_device(tmp_path: Path) -> None:
    assert kernel.device(tmp_path / "fuse").mend == "modprobe fuse"
    assert kernel.device(Path("/dev/null")).verdict is Verdict.OK


def test_versions_of_the_server() -> None:
    assert kernel.judge_versions("-2 +3 +4 +4.1 +4.2\n").verdict is Verdict.OK
    assert "HOLDFAST_NFS_V3" in kernel.judge_versions("+4 -4.1 +4.2").message
    assert kernel.judge_versions("+3 +4 +4.1").verdict is Verdict.FAILED


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    assert sources.look(tmp_path / "none", shared=True).mend == f"mkdir -p {tmp_path}/none"


def test_the_filesystem_of_a_directory(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 8:1 / / rw - overlay overlay rw\n2 1 8:2 / {tmp_path} rw - xfs /dev/sdb rw\n")
    assert sources.filesystem(tmp_path / "below", table) == "xfs"
    assert sources.filesystem(Path("/nowhere"), table) == "overlay"


def test_without_an_engine_the_rest_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert command.preflight([tmp_path], machine=True) == command.FAILED
    report = json.loads(capsys.readouterr().out)
    subjects = {finding["subject"]: finding for finding in report["findings"]}
    assert subjects["Docker"]["verdict"] == "failed"
    assert f"source {tmp_path}" in subjects
    assert all(finding["mend"] for finding in report["findings"] if finding["verdict"] in ("failed", "unknown"))


_PODMAN = {
    "host": {
        "cgroupVersion": "v2", "ociRuntime": {"name": "crun"}, "security": {"rootless": False, "seccompEnabled": True},
    },
    "version": {"Version": "5.4.2"},
}


def test_podman_is_as_good_as_docker() -> None:
    there = podman.judge(_PODMAN)
    assert [found.verdict for found in there] == [Verdict.OK]
    assert "holdfast.container" in there[0].message
    rootless = podman.judge({**_PODMAN, "host": {"security": {"rootless": True}}})
    assert "rootless" in _failed(rootless)[0].message
    missing = [failed("Docker", "no Docker engine answers", "systemctl start docker")]
    assert passes(command.either(missing, there))
    assert passes(command.either([ok("Docker", "it answers")], rootless))
    assert not passes(command.either(missing, rootless))
    assert not passes(command.either(missing, []))


def test_errors_of_the_engine_are_sentences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(sdk.EngineError, match="no Docker engine answers"), sdk.engine() as client:
        client.ping()
