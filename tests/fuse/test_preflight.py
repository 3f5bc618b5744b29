"""Preflight asks this machine's kernel and tries handles on real filesystems."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.preflight import kernel, sources
from deploy.preflight.finding import Verdict
from tests.support.filesystems import Filesystem

pytestmark = pytest.mark.fuse


def test_the_features_of_fuse() -> None:
    found = kernel.fuse_features()
    assert found.verdict in (Verdict.OK, Verdict.NOTE), found
    assert "preflight" not in Path("/proc/self/mountinfo").read_text()


def test_a_source_that_gives_handles(disk: Filesystem) -> None:
    found = sources.look(disk.source, shared=True)
    assert found.verdict is Verdict.OK, found
    assert "handles open" in found.message
    assert "GiB free" in found.message


def test_a_source_that_gives_none() -> None:
    found = sources.look(Path("/proc/self"), shared=True)
    assert found.verdict is Verdict.FAILED
    assert "gives no file handles" in found.message
    assert "mount" in found.mend
    assert sources.look(Path("/proc/self"), shared=False).verdict is Verdict.NOTE
