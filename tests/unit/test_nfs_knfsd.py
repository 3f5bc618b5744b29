"""Readers and writers of /proc, on files captured from Linux 6.12 and in a directory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from appliance.nfs.knfsd import DirectoryFiles, Knfsd, ThreadStatistics, parse_statistics, parse_versions
from appliance.nfs.nfsd_files import holds_open

CAPTURED = Path(__file__).parent / "captured"


def test_threads_and_versions() -> None:
    knfsd = Knfsd(DirectoryFiles(CAPTURED / "nfsd"))
    assert asyncio.run(knfsd.threads()) == 8
    versions = asyncio.run(knfsd.versions())
    assert versions == {"3": False, "4": True, "4.0": False, "4.1": True, "4.2": True}


def test_versions_of_a_server_that_is_down() -> None:
    assert parse_versions("\n") == {}


def test_statistics() -> None:
    assert parse_statistics((CAPTURED / "net_rpc_nfsd").read_text()) == ThreadStatistics(
        threads=8, rpc_calls=271, bytes_read=6144, bytes_written=1048576
    )
    assert parse_statistics("") == ThreadStatistics(0, 0, 0, 0)


def test_a_server_is_stopped(tmp_path: Path) -> None:
    asyncio.run(Knfsd(DirectoryFiles(tmp_path)).stop())
    assert (tmp_path / "threads").read_text() == "0\n"


def test_a_filesystem_is_released_by_its_quoted_path(tmp_path: Path) -> None:
    control = tmp_path / "unlock_filesystem"
    asyncio.run(Knfsd(DirectoryFiles(tmp_path)).release_filesystem(Path("/exports/a b")))
    assert control.read_text() == "/exports/a\\040b\n"  # the kernel refuses a write without a newline


def test_what_a_process_has_open_is_seen_without_opening_it(tmp_path: Path) -> None:
    descriptors = tmp_path / "7" / "fd"
    descriptors.mkdir(parents=True)
    os.symlink("/proc/7/net/rpc/nfsd.fh/channel", descriptors / "3")
    os.symlink("anon_inode:[eventpoll]", descriptors / "4")
    assert holds_open(7, "/nfsd.fh/channel", proc=tmp_path)
    assert holds_open(7, "eventpoll", proc=tmp_path)
    assert not holds_open(7, "inotify", proc=tmp_path)
    assert not holds_open(8, "inotify", proc=tmp_path)
