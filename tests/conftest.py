"""For every tier: tests that cannot run here are skipped with the reason, or refused with --require."""

from __future__ import annotations

import hypothesis
import pytest

from appliance.logs import ConsoleFormatter
from tests.support.daemon import PYTHON
from tests.support.filesystems import KINDS
from tests.support.tiers import OBSTACLES

# How long an example takes says something of the machine and what else it has to do, nothing of the code.
hypothesis.settings.register_profile("holdfast", deadline=None)
hypothesis.settings.load_profile("holdfast")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        action="append",
        default=[],
        metavar="TIER",
        choices=sorted(OBSTACLES),
        help="fail at once instead of skipping when this machine cannot run the tier",
    )
    # Not in the tier's own conftest: pytest reads that too late for an option, unless the tier is named on its command.
    parser.addoption(
        "--filesystems",
        default="ext4",
        metavar="KIND,...",
        help=f"what the FUSE tier is run on: all, or some of {', '.join(KINDS)} (default: ext4)",
    )
    parser.addoption(
        "--daemon-python",
        metavar="PROGRAM",
        help="what runs the daemons of the FUSE tier instead of this Python, such as one with another libfuse",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=50,
        metavar="NUMBER",
        help="how many workers tests/fuse/test_passthrough.py kills with files open (default: 50)",
    )
    parser.addoption(
        "--rounds",
        type=int,
        default=0,
        metavar="N",
        help="how often the tests with the mark `rounds` do to the virtual machine what they do (default: as marked)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if program := config.getoption("--daemon-python"):
        PYTHON[0] = program


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have failed tests show the values of the facts that were logged, which pytest's own format leaves out."""
    if plugin := session.config.pluginmanager.get_plugin("logging-plugin"):
        plugin.report_handler.setFormatter(ConsoleFormatter())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for tier, find_obstacle in OBSTACLES.items():
        concerned = [item for item in items if item.get_closest_marker(tier)]
        if not concerned or (obstacle := find_obstacle()) is None:
            continue
        if tier in config.getoption("--require"):
            raise pytest.UsageError(f"--require {tier}: {obstacle}")
        for item in concerned:
            item.add_marker(pytest.mark.skip(reason=obstacle))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests measured and do not judge."""
    measured = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in terminalreporter.getreports("passed")
        for _, value in report.user_properties
    ]
    if measured:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(measured))
