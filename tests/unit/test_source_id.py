"""What proves that a source is the one that a share was made for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.checks.source_look import Look, Seen, Verdict, look
from appliance.errors import SourceError
from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.fuse.source_id import SourceId, confirm

KNOWN = SourceId(1, "0200000000000000", 1_600_000_000_000_000_000, "ab" * 16)


def test_it_proves_itself() -> None:
    confirm(KNOWN, KNOWN, Path("/srv/data"))
    assert SourceId.from_json(KNOWN.to_json()) == KNOWN


@pytest.mark.parametrize(
    "found",
    [
        replace(KNOWN, type=2),
        replace(KNOWN, handle="0c00000000000000"),
        replace(KNOWN, birth=KNOWN.birth + 1),
        replace(KNOWN, uuid="cd" * 16),
        replace(KNOWN, uuid=""),
    ],
)
def test_whatever_differs_it_is_another_one_and_both_are_told(found: SourceId) -> None:
    with pytest.raises(SourceError) as caught:
        confirm(KNOWN, found, Path("/srv/data"))
    assert caught.value.code == "source-changed"
    for part in ("/srv/data", f"expected was {KNOWN}", f"found is {found}"):
        assert part in caught.value.message
    assert "accept-source" in caught.value.hint


def test_what_was_not_known_is_not_compared() -> None:
    assert replace(KNOWN, birth=0, uuid="").is_proved_by(KNOWN)
    assert replace(KNOWN, birth=0).is_proved_by(KNOWN)
    assert replace(KNOWN, uuid="").is_proved_by(KNOWN)


def test_it_is_told_in_words() -> None:
    said = "directory 0x1:0200000000000000, made 2020-09-13 12:26:40 of filesystem " + "ab" * 16
    assert str(KNOWN) == said
    assert str(replace(KNOWN, birth=0, uuid="")) == "directory 0x1:0200000000000000 of filesystem without uuid"


def test_a_look_is_one_line_each_way() -> None:
    order = Look("/srv/with\nnewline", CodecChoice(Kind.XFS, inode_bits=40), KNOWN, 2049, ("/srv", "/mnt"))
    assert order.to_line().count(b"\n") == 1
    assert Look.from_line(order.to_line().decode()) == order
    seen = Seen(Verdict.GONE, "source-missing", "it\nis not there", "mount it", broken=True)
    assert seen.to_line().count(b"\n") == 1
    assert Seen.from_line(seen.to_line()) == seen


@pytest.mark.parametrize(("there", "major", "broken"), [(True, 7, False), (False, 7, True), (False, 0, False)])
def test_a_device_that_was_removed_is_noticed(tmp_path: Path, there: bool, major: int, broken: bool) -> None:
    devices = tmp_path / "sys"
    devices.mkdir()
    if there:
        (devices / f"{major}:3").touch()
    order = Look("/nowhere/at/all", CodecChoice(Kind.INO32), KNOWN, os.makedev(major, 3))
    assert look(order, devices).broken is broken
