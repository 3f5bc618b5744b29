"""`make test`: the linters and every tier of tests, with all that they need. A skipped test has not passed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
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
# Side by side: the virtual machine's tests wait a lot, and the others make use of that.
ON_THIS_MACHINE = ("tests", "--ignore", "tests/vm")
IN_THE_MACHINE = ("tests/vm",)


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
    """Run all tests, with a report in JUnit's XML for each half; return which halves failed."""
    there, here = directory / "vm.xml", directory / "here.xml"
    output = directory / "vm.log"
    with output.open("wb") as log:
        argv = (*PYTEST, *IN_THE_MACHINE, "--junit-xml", str(there))
        machine = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=CHECKOUT)
    try:
        failed = [] if _passes((*PYTEST, *ON_THIS_MACHINE, "--junit-xml", str(here))) else ["pytest"]
        with step("Waiting for the tests in the virtual machine"):
            status = machine.wait()
    finally:
        if machine.poll() is None:
            machine.send_signal(signal.SIGINT)  # pytest then ends its machines in order
            machine.wait()
    say(output.read_text(errors="replace"))
    return failed if status == 0 else [*failed, "pytest in the virtual machine"]


def _passes(argv: tuple[str, ...]) -> bool:
    with step(f"Running {Path(argv[0]).name if argv[0] != sys.executable else 'pytest'}") as current:
        current.finish()  # what it runs shows its own progress
        return subprocess.run(argv, stdin=subprocess.DEVNULL, cwd=CHECKOUT, check=False).returncode == 0
