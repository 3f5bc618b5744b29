"""The virtual machine itself: statuses come out as they are, and a lost machine is told from a script that failed."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.cache import Cache
from deploy.errors import VmLostError
from deploy.paths import cache_root
from deploy.vm.machine import Spec
from deploy.vm.session import booted
from deploy.vm.system import system_disk

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]


def test_a_lost_machine_is_no_failed_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files/x").write_text("brought along")
    spec = Spec(system_disk(Cache(cache_root())), files=tmp_path / "files")
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(VmLostError))
        vm = stack.enter_context(booted(spec))
        assert vm.channel.run("exit 255").status == 255
        assert vm.channel.run("cat $FILES/x; ! touch $FILES/y 2>&1").stdout.startswith("brought along")
        assert vm.channel.run("sleep 60", timeout=1).status == 124
        vm.channel.run("echo c > /proc/sysrq-trigger; sleep 60", timeout=60)
    assert not vm.machine.alive()
    kept = list((tmp_path / "state/holdfast/failed").iterdir())
    assert ["sysrq triggered crash" in log.read_text(errors="replace") for log in kept] == [True]
