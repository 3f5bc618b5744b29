"""What a dead appliance left mounted goes with the next one, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.supervisor import kernel_mounts, mountinfo
from tests.support.commands import run
from tests.support.daemon import daemon
from tests.support.janitor import Janitor

pytestmark = pytest.mark.fuse


def _mounts(root: Path) -> list[str]:
    return [mount.path.name for mount in mountinfo.below(root)]


def test_the_next_start_cleans_up_after_a_dead_one_and_nobody_else(watch: Janitor, work: Path, tmp_path: Path) -> None:
    place = work / "leftovers"
    exports, source, neighbour = place / "exports", place / "source", place / "neighbour"
    for directory in (source, neighbour):
        directory.mkdir(parents=True)
    kernel_mounts.mount_exports(exports)
    try:
        with daemon(source, neighbour, tmp_path / "log", watch):  # of the same kind, and somebody else's
            for name in ("first", "second"):
                (exports / name).mkdir()
                run("mount", "-t", "tmpfs", "left", exports / name)
            run("mount", "--bind", exports / "first", exports / "second")  # two, one upon the other
            kernel_mounts.mount_exports(exports)
            assert sorted(_mounts(exports)) == ["first", "second", "second"], "a successor finds what there is"
            kernel_mounts.unmount_exports(exports)
            assert _mounts(exports) == []
            assert mountinfo.at(exports) is None
            assert mountinfo.at(neighbour) is not None
            (neighbour / "file").write_text("served on")
            assert (source / "file").read_text() == "served on"
    finally:
        run("umount", "--recursive", exports, check=False)
