"""A check's view of a daemon's share, made in the test's own process: the daemon under test is another one."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.checks import classify, run, sampling
from appliance.checks.pace import Pace
from appliance.checks.run import Finding
from appliance.checks.samples import Sample, key_id
from appliance.checks.view import View, opened_mount
from appliance.fuse.codecs import choice
from appliance.fuse.key import HandleKey
from appliance.fuse.state import State
from tests.support.daemon import Daemon

FSID = "00000000-0000-0000-0000-000000000001"


@contextmanager
def viewed(daemon: Daemon, key: bytes | None = None) -> Iterator[View]:
    """Look at a daemon's share; with another key, if one is given, than the daemon has."""
    state = State(daemon.mountpoint.with_name(f"{daemon.mountpoint.name}.state"))
    kept = state.codec()
    assert kept is not None
    source = os.open(daemon.source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with opened_mount(daemon.mountpoint) as mount:
            codec = choice.build(kept, source, state.table(kept))
            yield View(mount, source, codec, HandleKey(key or state.key()))
    finally:
        os.close(source)


def share_of(daemon: Daemon) -> classify.Share:
    """What the daemon's handles are made with."""
    state = State(daemon.mountpoint.with_name(f"{daemon.mountpoint.name}.state"))
    return classify.Share(FSID, key_id(state.key()))


def sampled(daemon: Daemon, paths: Sequence[Path]) -> list[Sample]:
    """Sample the files at these paths, relative to the share's root."""
    with viewed(daemon) as view:
        share = share_of(daemon)
        taken = [sampling.take(view, os.fsencode(path) if path != Path() else b"", FSID, share.key) for path in paths]
    assert None not in taken
    return [sample for sample in taken if sample is not None]


def checked(daemon: Daemon, samples: Sequence[Sample], key: bytes | None = None) -> list[Finding]:
    """Check samples without pauses; `key` and what it is known by are the share's, whatever the daemon has."""
    share = classify.Share(FSID, key_id(key)) if key else share_of(daemon)
    with viewed(daemon, key) as view:
        return run.check(view, share, samples, lambda _: None, Pace(0), second_looks=(0.1,))


def walked(daemon: Daemon, count: int, seed: int = 1) -> list[Sample]:
    """Sample at most so many files by random walks."""
    share = share_of(daemon)
    with viewed(daemon) as view:
        return list(sampling.take_new(view, count, set(), FSID, share.key, random.Random(seed)))


def told(findings: Sequence[Finding]) -> dict[str, str]:
    """Return each sample's path with its outcome, and the kind if it is a drift."""
    return {
        os.fsdecode(one.sample.path): one.verdict.kind.value if one.verdict.kind else one.verdict.outcome.value
        for one in findings
    }
