"""getdents64: what it returns and how we take it apart."""

import os
from pathlib import Path

from appliance.linux import dirents


def test_entries_of_a_real_directory_and_their_offsets(tmp_path: Path) -> None:
    wanted = {b".", b"..", b"a", b"\xff\xfe not utf-8", b"n" * 255}
    for name in wanted - {b".", b".."}:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        entries = list(dirents.read_entries(descriptor))
        assert {entry.name for entry in entries} == wanted
        assert next(entry.inode for entry in entries if entry.name == b"a") == (tmp_path / "a").stat().st_ino
        # The offset of an entry is where the rest begins, on any descriptor.
        os.lseek(descriptor, entries[1].offset, os.SEEK_SET)
        assert list(dirents.read_entries(descriptor)) == entries[2:]
    finally:
        os.close(descriptor)


def test_nothing_gives_nothing() -> None:
    assert list(dirents.parse_entries(b"")) == []
