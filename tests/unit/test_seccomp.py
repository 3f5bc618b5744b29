"""The profile of system calls: what compose.yaml, systemd and Podman are given is the one list of deploy/seccomp.py."""

from __future__ import annotations

import json
import re

from deploy import seccomp
from deploy.paths import CHECKOUT

_DANGEROUS = {
    "add_key", "bpf", "chroot", "clone3", "io_uring_setup", "kexec_load", "keyctl", "perf_event_open",
    "process_vm_readv", "ptrace", "quotactl", "reboot", "setns", "userfaultfd",
}


def test_the_file_is_what_the_list_says() -> None:
    assert (CHECKOUT / "deploy/seccomp.json").read_text() == seccomp.text()


def test_each_call_is_named_once_and_none_of_the_dangerous_ones() -> None:
    assert len(set(seccomp.ALLOWED)) == len(seccomp.ALLOWED)
    rules = json.loads(seccomp.text())["syscalls"]
    assert not _DANGEROUS & {name for rule in rules for name in rule["names"]}
    guarded = {name for rule in rules if "args" in rule or "includes" in rule for name in rule["names"]}
    assert guarded == {"clone", "unshare", "socket", *seccomp.MODULES}
    assert not guarded & set(seccomp.ALLOWED)


def test_who_starts_the_container_names_the_profile() -> None:
    assert "- seccomp=deploy/seccomp.json\n" in (CHECKOUT / "compose.yaml").read_text()
    quadlet = (CHECKOUT / "deploy/podman/holdfast.container").read_text()
    assert "\nSeccompProfile=/etc/containers/holdfast-seccomp.json\n" in quadlet


def test_the_unit_of_systemd_allows_the_same_calls() -> None:
    unit = (CHECKOUT / "deploy/systemd/holdfast.service").read_text().replace("\\\n", " ")
    allowed = re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE)
    assert len(allowed) == 1
    assert set(allowed[0].split()) == {*seccomp.ALLOWED, "clone", "unshare", "socket"}
    families = re.search(r"^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    assert families
    assert set(families[1].split()) == set(seccomp.FAMILIES)
