"""Shares that a file describes, over real mounts: there when it is, as it says, and gone when it no longer does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from appliance import config_text
from appliance.model import Client, Config, Share
from tests.support.appliance import running
from tests.support.filesystems import Filesystem
from tests.support.posix.files import make

pytestmark = [pytest.mark.fuse, pytest.mark.kinds("ext4")]


def test_what_the_file_describes_is_mounted(disk: Filesystem, work: Path) -> None:
    place = work / "described"
    place.mkdir()
    file = place / "shares.yaml"
    for name in ("one", "two"):
        (disk.source / name).mkdir()
        make(bytes(disk.source / name / "file"), name.encode())

    def write(*shares: Share) -> None:
        new = place / ".new"
        new.write_text(config_text.render(Config(shares=shares)))
        os.replace(new, file)

    def share(name: str, path: str | None = None) -> Share:
        clients = (Client(host="192.0.2.1"),)
        return Share(name=name, source=str(disk.source / name), clients=clients, nfs_path=path)

    async def body() -> None:
        write(share("one"), share("two", "/deep/er/two"))
        async with running(place, config_file=file) as appliance:
            root = appliance.settings.exports_dir
            await appliance.file.look()
            assert appliance.file.status.state == "applied", appliance.file.status
            assert await asyncio.to_thread((root / "one/file").read_bytes) == b"one"
            assert await asyncio.to_thread((root / "deep/er/two/file").read_bytes) == b"two"
            write(share("two"))
            await appliance.file.look()
            assert os.listdir(root) == ["two"]
            assert await asyncio.to_thread((root / "two/file").read_bytes) == b"two"

    asyncio.run(body())
