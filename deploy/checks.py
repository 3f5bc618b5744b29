"""`make test`: the linters and every tier of tests, with all that they need. A skipped test has not passed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from deploy.console import say, step
from deploy.debian import install, require_root_on_debian
from deploy.paths import CHECKOUT
from deploy.vm.appliance import PACKAGES, appliance_disks

FUSE_PACKAGES = ("acl", "attr", "btrfs-progs", "e2fsprogs", "fuse3", "mount", "strace", "systemd", "xfsprogs")
BIN = Path(sys.executable).parent
LINTERS = ((str(BIN / "ruff"), "check"), (str(BIN / "mypy"),), (str(BIN / "lint-imports"),))
TIERS = ("--require", "fuse", "--require", "vm", "--filesystems", "all")
PYTEST = (sys.executable, "-m", "pytest", *TIERS, "--durations", "15")
# Side by side: tests in a virtual machine wait a lot, and the others make use of that. The modules are dealt to two
# machines in turn, first those that take long, so that both are through at about the same time.
ON_THIS_MACHINE = ("tests", "--ignore", "tests/vm")
_LONG = ("lifecycle", "upgrade", "passthrough", "power_cut", "container", "storage", "wire", "server_settings")
_SHORT = sorted({path.stem.removeprefix("test_") for path in CHECKOUT.glob("tests/vm/test_*.py")} - {*_LONG})
_DEALT = [f"tests/vm/test_{name}.py" for name in (*_LONG, *_SHORT)]
IN_MACHINES = (_DEALT[0::4] + _DEALT[3::4], _DEALT[1::4] + _DEALT[2::4])


@dataclass(frozen=True)
class Skipped:
    """A test that did not run, and the reason it gave."""

    test: str
    reason: str


def check() -> int:
    """Run everything; return 0 only if all of it passed and nothing was skipped but what the README names."""
    require_root_on_debian()
    install((*PACKAGES, *FUSE_PACKAGES))
    failed = [argv[0] for argv in LINTERS if not _passes(argv)]
    appliance_disks()  # before pytest, whose time limits are for tests
    with tempfile.TemporaryDirectory() as directory:
        failed += _run_tests(Path(directory))
        readme = (CHECKOUT / "README.md").read_text()
        unnamed = [one for report in Path(directory).glob("*.xml") for one in unnamed_skips(report.read_text(), readme)]
    for skipped in unnamed:
        say(f"skipped, and the README does not say so: {skipped.test}: {skipped.reason}")
    if failed:
        say(f"failed: {', '.join(Path(name).name for name in failed)}")
    return 1 if failed or unnamed else 0


def unnamed_skips(report: str, readme: str) -> list[Skipped]:
    """Return the skipped tests of a JUnit report whose reason does not stand in the README."""
    # The report was written by our own pytest a moment ago, so no hostile XML is to be feared.
    cases = ElementTree.fromstring(report).iter("testcase")  # noqa: S314
    skipped = [Skipped(f"{case.get('classname')}::{case.get('name')}", reason.get("message", ""))
               for case in cases for reason in case.findall("skipped")]
    return [one for one in skipped if not one.reason or one.reason not in readme]


def _run_tests(directory: Path) -> list[str]:
    """Run all tests, with reports in JUnit's XML; return what failed."""
    machines = [_Machine(number, modules, directory) for number, modules in enumerate(IN_MACHINES, 1)]
    try:
        here = (*PYTEST, *ON_THIS_MACHINE, "--junit-xml", str(directory / "here.xml"))
        failed = [] if _passes(here) else ["pytest"]
        for machine in machines:
            with step(f"Waiting for the tests in {machine.name}"):
                if not machine.passed():
                    failed.append(f"pytest in {machine.name}")
    finally:
        for machine in machines:
            machine.end()
    return failed


class _Machine:
    """The tests in one virtual machine, running beside others; what they print is shown when they are through."""

    def __init__(self, number: int, modules: Sequence[str], directory: Path) -> None:
        self.name = f"virtual machine {number}"
        self._output = directory / f"vm-{number}.log"
        argv = (*PYTEST, *modules, "--junit-xml", str(directory / f"vm-{number}.xml"))
        with self._output.open("wb") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=CHECKOUT)

    def passed(self) -> bool:
        """Wait for them, and show what they said."""
        status = self._process.wait()
        say(self._output.read_text(errors="replace"))
        return status == 0

    def end(self) -> None:
        """Have pytest end its machines in order, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()


def _passes(argv: tuple[str, ...]) -> bool:
    with step(f"Running {Path(argv[0]).name if argv[0] != sys.executable else 'pytest'}") as current:
        current.finish()  # what it runs shows its own progress
        return subprocess.run(argv, stdin=subprocess.DEVNULL, cwd=CHECKOUT, check=False).returncode == 0
