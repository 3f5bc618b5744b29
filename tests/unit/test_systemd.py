"""The unit for running without a container is what systemd takes: it knows each setting, value and system call."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.supervisor import privileges
from deploy.paths import CHECKOUT

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")

_UNIT = (CHECKOUT / "deploy/systemd/holdfast.service").read_text()
# Which of these programs this machine has is not what is asked.
_INSTALLED_HERE = re.sub(r"(?<=[=+])/(usr/sbin/modprobe|usr/bin/unshare)\b", "/usr/bin/env", _UNIT)


def _verify(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    unit = directory / "holdfast.service"
    unit.write_text(text)
    return subprocess.run(("systemd-analyze", "verify", "--man=no", unit), capture_output=True, text=True, check=False)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    assert _INSTALLED_HERE.count("/usr/bin/env") == 2
    done = _verify(tmp_path, _INSTALLED_HERE)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(("right", "wrong"), [
    ("RuntimeDirectory=holdfast", "RuntimeDirectroy=holdfast"),
    ("KillMode=mixed", "KillMode=mostly"),
    ("name_to_handle_at", "name_to_handles_at"),
])
def test_what_is_wrong_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in _INSTALLED_HERE
    done = _verify(tmp_path, _INSTALLED_HERE.replace(right, wrong))
    assert done.stdout + done.stderr != ""


def test_the_unit_gives_the_container_s_capabilities() -> None:
    given = re.search(r"^CapabilityBoundingSet=(.*)$", _UNIT, re.MULTILINE)
    assert given
    assert set(given[1].split()) == set(privileges.CAPABILITIES)
