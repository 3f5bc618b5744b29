"""What the kernel has asked rpc.mountd about shares and never heard: told to it when the shares are there again.

About a share that is withheld, or not mounted, rpc.mountd says nothing, so that its clients wait. The kernel notes that
it has asked (the entry of its cache stays pending), that note outlives a flush of the cache, and only 120 s after the
question it asks again. So whoever came to the share meanwhile would wait for up to two minutes longer than he has to.
"""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from appliance.nfs.commands import run
from appliance.nfs.exports import unescape

CACHE = Path("/proc/net/rpc/nfsd.fh")
"""Which path belongs to which fsid, for each group of clients. See fs/nfsd/export.c, expkey_show and expkey_parse."""

_FSID_UUID = 6  # FSID_UUID16, in the kernel's fs/nfsd/nfsfh.h: what a share's handles begin with
_TRUE_SECONDS = 1800  # as rpc.mountd's own answers
_PENDING = re.compile(r"# (\S+) (\d+) 0x([0-9a-f]{32})$", re.MULTILINE)
_LINE = re.compile(r"^(\S+) .*?\(([^)]*)\)", re.MULTILINE)


@dataclass(frozen=True)
class Question:
    """Whether these clients, a name of rpc.mountd's for them, find an export under this fsid."""

    clients: str
    fsid: UUID

    def answer(self, path: str, expiry: float) -> str:
        """Return the line for the kernel that says where the export is; it holds until `expiry` (time.time())."""
        return f"{_word(self.clients)} {_FSID_UUID} \\x{self.fsid.hex} {expiry:.0f} {_word(path)}\n"


def questions(content: str) -> Iterator[Question]:
    """Yield those that the kernel waits for, as its cache tells them: a comment, without a path."""
    for clients, kind, words in _PENDING.findall(content):
        if int(kind) == _FSID_UUID:
            # It prints the bytes as numbers of 32 bits.
            numbers = (int(words[at : at + 8], 16) for at in range(0, 32, 8))
            yield Question(clients, UUID(bytes=struct.pack("=4I", *numbers)))


def served(exports: str) -> Mapping[UUID, str]:
    """Return the paths of the shares in an exports file that are not withheld, by fsid."""
    paths = {}
    for path, text in _LINE.findall(exports):
        options = text.split(",")
        fsid = next((option.removeprefix("fsid=") for option in options if option.startswith("fsid=")), "0")
        if "mountpoint" in options and fsid != "0":
            paths[UUID(fsid)] = unescape(path)
    return paths


async def answer(paths: Mapping[UUID, str], timeout: float, cache: Path = CACHE) -> int:
    """Answer what is asked about these paths, which have to be mounted. Returns how much was.

    Raises OSError, and CommandError if the kernel does not take an answer within `timeout` seconds.
    """
    content = await asyncio.to_thread((cache / "content").read_text, errors="surrogateescape")
    asked = [question for question in questions(content) if question.fsid in paths]
    for question in asked:
        line = question.answer(paths[question.fsid], time.time() + _TRUE_SECONDS)
        await run(["tee", "--", str(cache / "channel")], stdin=line, timeout=timeout)  # a line is one write(2)
    return len(asked)


def _word(text: str) -> str:
    """Return `text` as a word of sunrpc's caches: whatever ends a word is a backslash and three octal digits."""
    return re.sub(r"[\\ \t\n]", lambda match: f"\\{ord(match[0]):03o}", text)
