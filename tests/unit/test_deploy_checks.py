"""A skipped test has not passed, unless the README says that it does not run everywhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy import checks
from deploy.checks import Skipped, unnamed_skips
from deploy.engine import kernel_version
from deploy.paths import CHECKOUT
from deploy.running import Running, forget, load, token_file

REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="runs"/>
<testcase classname="tests.a" name="named"><skipped message="needs a second machine"/></testcase>
<testcase classname="tests.a" name="unnamed"><skipped message="felt like it"/></testcase>
<testcase classname="tests.a" name="silent"><skipped/></testcase>
</testsuite></testsuites>"""


def test_only_skips_that_the_readme_names_are_accepted() -> None:
    assert unnamed_skips(REPORT, "One test needs a second machine.") == [
        Skipped("tests.a::unnamed", "felt like it"),
        Skipped("tests.a::silent", ""),
    ]


def test_a_kernels_version() -> None:
    assert kernel_version("6.12.107+deb13-amd64") == (6, 12)
    assert kernel_version("6.9.0") == (6, 9)
    assert kernel_version("weird") == (0, 0)


def test_what_runs_is_remembered_with_a_private_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert load() is None
    Running("vm", 2049, 8081, "key").save("secret")
    assert load() == Running("vm", 2049, 8081, "key")
    assert (token_file().read_text(), token_file().stat().st_mode & 0o777) == ("secret\n", 0o600)
    forget()
    assert load() is None


def test_pytest_knows_what_it_is_told() -> None:
    """Options of a tier's own conftest are unknown to a pytest that is not given the tier's directory."""
    tiers = [option for option in checks.TIERS if option not in ("--require", "fuse", "vm")]
    argv = (sys.executable, "-m", "pytest", *tiers, "--collect-only", "--quiet")
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ("none", []),
        ("tests", ["pytest"]),
        (checks.IN_MACHINES[0][0], ["pytest in virtual machine 1"]),
        (checks.IN_MACHINES[1][0], ["pytest in virtual machine 2"]),
    ],
)
def test_each_part_of_the_tests_can_fail(
    failing: str, told: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played = f"import sys; print('this is', sys.argv[1]); sys.exit(sys.argv[1] == {failing!r})"
    monkeypatch.setattr(checks, "PYTEST", (sys.executable, "-c", played))
    assert checks._run_tests(tmp_path) == told
    said = capsys.readouterr().err
    assert all(f"this is {modules[0]}" in said for modules in checks.IN_MACHINES)


def test_every_module_is_run_in_one_machine() -> None:
    modules = [module for machine in checks.IN_MACHINES for module in machine]
    assert sorted(modules) == sorted(str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("tests/vm/test_*.py"))
