"""What a person reads when something is missing, and the exit codes that go with it."""

import os
import sys
from pathlib import Path

import pytest

from deploy import __main__ as command
from deploy import debian
from deploy.debian import require_root_on_debian
from deploy.errors import CommandError, DeployError, VmLostError


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "DEBIAN_VERSION", Path("/etc/hostname"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DeployError, match=r"not root.*sudo"):
        require_root_on_debian()


def test_elsewhere_than_debian_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(debian, "DEBIAN_VERSION", tmp_path / "none")
    with pytest.raises(DeployError, match="not Debian"):
        require_root_on_debian()


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["vm-run", "/nowhere/script"], DeployError.exit_code, "deploy: SCRIPT=/nowhere/script cannot be read"),
    (["vm-run", __file__, "--files", __file__], DeployError.exit_code, "is not a directory"),
])
def test_a_wrong_command_line_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
                                                    arguments: list[str], code: int, said: str) -> None:
    monkeypatch.setattr(sys, "argv", ["deploy", *arguments])
    assert command.main() == code
    assert said in capfd.readouterr().err


def test_a_lost_machine_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> int:
        raise VmLostError("gone")

    monkeypatch.setattr(sys, "argv", ["deploy", "vm-run", __file__])
    monkeypatch.setattr("deploy.vmrun.vm_run", lost)
    assert command.main() == 75
    assert VmLostError.exit_code not in (DeployError.exit_code, CommandError.exit_code)


def test_a_failed_command_can_be_pasted() -> None:
    error = CommandError(["mount", "-o", "a b", "/x"], 32, "no such thing\n")
    assert str(error) == "status 32 from: mount -o 'a b' /x\nno such thing"
