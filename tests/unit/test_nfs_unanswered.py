"""What the kernel has asked about shares is answered as rpc.mountd would; the texts are a real kernel's."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from uuid import UUID

from appliance.model import Client
from appliance.nfs import unanswered
from appliance.nfs.exports import Export, render
from appliance.nfs.unanswered import Question
from appliance.state.records import Fsid

FSID, OTHER = UUID("31a3deb0-5d5c-4a5c-9d0a-6ff1f2a3b4c5"), UUID("00000000-0000-4000-8000-000000000001")
CONTENT = """#domain fsidtype fsid [path]
# 192.0.2.0/24 6 0xb0dea3315c4a5c5df16f0a9dc5b4a3f2
192.0.2.0/24 1 0x00000000 /exports
# 192.0.2.0/24 6 0x00000000004000000000008001000000
192.0.2.0/24 6 0xb0dea3315c4a5c5df16f0a9dc5b4a3f2 /exports/a
# 192.0.2.0/24 1 0x00000000
# 192.0.2.0/24 7 0x000000000000000000000000000000000000000000000000
"""


def export(name: str, fsid: UUID, *, withheld: bool = False) -> Export:
    return Export(Path("/exports") / name, Fsid(fsid), (Client(network="192.0.2.0/24"),), withheld=withheld)


def test_a_question_is_a_comment_without_a_path() -> None:
    assert [question.clients for question in unanswered.questions(CONTENT)] == ["192.0.2.0/24"] * 2
    assert Question("192.0.2.0/24", OTHER) in unanswered.questions(CONTENT)


def test_what_is_withheld_and_the_root_are_not_told() -> None:
    text = render(Path("/exports"), [export("a b", FSID), export("c", OTHER, withheld=True)])
    assert unanswered.served(text) == {FSID: "/exports/a b"}


def test_an_answer_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "content").write_text(CONTENT)
    assert asyncio.run(unanswered.answer({OTHER: "/exports/a b"}, 5.0, tmp_path)) == 1
    answer = (tmp_path / "channel").read_text()
    expected = r"192\.0\.2\.0/24 6 \\x00000000000040008000000000000001 (\d+) /exports/a\\040b\n"
    assert (match := re.fullmatch(expected, answer)), answer
    assert 1700 < int(match[1]) - time.time() < 1900


def test_nothing_is_said_unasked(tmp_path: Path) -> None:
    (tmp_path / "content").write_text(CONTENT)
    assert asyncio.run(unanswered.answer({UUID(int=9): "/exports/a"}, 5.0, tmp_path)) == 0
    assert not (tmp_path / "channel").exists()
