"""A directory of a million entries, listed through the mount: every entry once, and what it costs a worker.

    .venv/bin/python -m tests.bench.directory [--kind KIND] [--entries N]
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import ExitStack
from pathlib import Path

from appliance.linux import dirents
from tests.support.children import in_child
from tests.support.daemon import daemon
from tests.support.filesystems import KINDS, filesystem
from tests.support.janitor import janitor
from tests.support.posix.files import opened
from tests.support.processes import descriptor_count, own_kilobytes
from tests.support.scratch import scratch_directory
from tests.support.witness import drop_caches


def fill(directory: Path, entries: int) -> None:
    """Make so many entries, behind the mount."""
    directory.mkdir()
    with opened(bytes(directory), os.O_RDONLY) as at:
        for number in range(entries):
            os.mknod(f"entry-{number:07}", 0o600, dir_fd=at)


def listed(directory: Path) -> tuple[int, int]:
    """Return how many names are told, and how many different ones."""
    with opened(bytes(directory), os.O_RDONLY) as at:
        names = [entry.name for entry in dirents.read_entries(at) if entry.name not in (b".", b"..")]
    return len(names), len(set(names))


def measure(kind: str, entries: int) -> str:
    """Return the numbers in a line. Raises AssertionError if an entry is missing or there twice."""
    with ExitStack() as stack:
        watch = stack.enter_context(janitor())
        work = stack.enter_context(scratch_directory())
        disk = stack.enter_context(filesystem(kind, work))
        fill(disk.source / "large", entries)
        with daemon(disk.source, work / "mount", work / "log", watch) as running:
            drop_caches()
            begun = time.monotonic()
            found = in_child(lambda: listed(running.mountpoint / "large"))
            through = time.monotonic() - begun
            assert found == (entries, entries), found
            begun = time.monotonic()
            assert in_child(lambda: listed(disk.source / "large")) == (entries, entries)
            plain = time.monotonic() - begun
            assert in_child((running.mountpoint / "large" / f"entry-{entries - 1:07}").exists)
            workers = running.full_pool()
            return (
                f"{kind}: {entries:,} entries listed in {through:.1f} s through the mount, "
                f"{plain:.1f} s on the source; a worker's own memory {max(map(own_kilobytes, workers)):,} KiB, "
                f"{max(map(descriptor_count, workers))} descriptors"
            )


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.directory", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kind", default="ext4", choices=KINDS)
    parser.add_argument("--entries", type=int, default=1_000_000)
    wanted = parser.parse_args()
    print(measure(wanted.kind, wanted.entries))


if __name__ == "__main__":
    main()
