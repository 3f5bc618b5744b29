"""The verdict on one sample: a pure function of what the sample says and what was seen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from appliance.checks.evidence import STALE, Evidence, Opened, Refused
from appliance.checks.fileid import node_of
from appliance.checks.outcomes import Drift, Outcome
from appliance.checks.samples import Sample
from appliance.linux.statx import Found

_SECOND = 1_000_000_000  # ns


@dataclass(frozen=True)
class Verdict:
    """An outcome, for a drift its kind, and the reason in a sentence."""

    outcome: Outcome
    kind: Drift | None = None
    reason: str = ""


SAME = Verdict(Outcome.SAME)


@dataclass(frozen=True)
class Share:
    """What handles of the share are made with now: its fsid, its key, and the keys that were taken back on purpose."""

    fsid: str
    key: str
    revoked: Collection[str] = ()


def classify(sample: Sample, share: Share, evidence: Evidence) -> Verdict:
    """Say what became of a sampled handle."""
    if sample.fsid != share.fsid:
        return _drift(
            Drift.FSID_CHANGED,
            f"the handle was given out under the fsid {sample.fsid}, and the share now has {share.fsid}: every "
            "client's handles are stale",
        )
    if evidence.fsid not in (None, share.fsid):
        return _drift(
            Drift.FSID_CHANGED, f"clients get handles with the fsid {evidence.fsid}, and the share has {share.fsid}"
        )
    match evidence.mount, evidence.native:
        case Refused(error), _ if error != STALE:
            return Verdict(Outcome.UNANSWERED, reason=f"the mount answered {error}")
        case _, Refused(error) if error != STALE:
            return Verdict(Outcome.UNANSWERED, reason=f"the source answered {error}")
        case Opened() as opened, native:
            return _opened(sample, share, evidence, opened, native)
        case _, native:
            return _stale(sample, share, evidence, native)


def _opened(sample: Sample, share: Share, evidence: Evidence, opened: Opened, native: Opened | Refused) -> Verdict:
    if sample.path == b"" and not _same(sample, opened):
        return _drift(
            Drift.SOURCE_REPLACED,
            f"the share's root is another directory than before ({_difference(sample, opened)}): another filesystem, "
            "or a restored one, is where the source was",
        )
    # The root's handle is made with no key.
    if sample.path and sample.key != share.key and sample.key in share.revoked:
        return _drift(Drift.OPENS_REVOKED, "the handle was made with a key that was taken back, and still opens")
    if opened.native != sample.native:
        if isinstance(native, Refused):
            return _drift(
                Drift.NODE_REUSED,
                f"its file (inode {sample.inode}) is gone, and the handle opens inode {opened.found.inode}: the node "
                "id was given to a second file",
            )
        return _drift(
            Drift.ANOTHER_FILE, f"the handle of inode {sample.inode} opens inode {opened.found.inode} instead"
        )
    if not _same(sample, opened):
        return _drift(
            Drift.REPLACED,
            f"inode number and generation are as before, but it is another file ({_difference(sample, opened)})",
        )
    if opened.found.links == 0:
        return Verdict(Outcome.DELETED, reason="it has no name left, and somebody has it open")
    if isinstance(native, Refused):
        return _drift(Drift.OPENS_DELETED, "the source says that the file is gone, and its handle still opens it")
    if not evidence.attributes_agree:
        return _drift(Drift.ANOTHER_FILE, "what the handle opens has the inode's number, and not its size and times")
    fresh = evidence.name.handle if evidence.name and evidence.name.at.native == sample.native else None
    if fresh not in (None, sample.handle):
        return _drift(Drift.NODE_CHANGED, "the handle opens the file, but a fresh look-up of its name gives another")
    if evidence.name is None or evidence.name.at.native != sample.native:
        return Verdict(Outcome.MOVED, reason="its name has changed")
    return SAME


def _stale(sample: Sample, share: Share, evidence: Evidence, native: Opened | Refused) -> Verdict:
    if isinstance(native, Refused) or native.found.links == 0:
        return _gone(sample, evidence)
    if not _same(sample, native):
        return _drift(
            Drift.REPLACED, f"inode number and generation are another file's now ({_difference(sample, native)})"
        )
    if evidence.outside:
        return Verdict(Outcome.DELETED, reason="the directory was moved out of the share")
    if sample.key != share.key:
        if sample.key in share.revoked:
            return Verdict(Outcome.REVOKED, reason="the share's key was changed on purpose since")
        return _drift(Drift.KEY_CHANGED, "the share's key is another one than the handle was made with")
    fresh = evidence.name.handle if evidence.name and evidence.name.at.native == sample.native else None
    if fresh is not None and node_of(fresh) != node_of(sample.handle):
        return _drift(
            Drift.NODE_CHANGED,
            f"the file lives, but its node id is {node_of(fresh):#x} and was {node_of(sample.handle):#x}",
        )
    if fresh is not None and fresh != sample.handle and evidence.expected == sample.handle:
        return _drift(
            Drift.WRONG_KEY,
            "the file lives, but the workers give its handle another generation: they serve with a wrong key",
        )
    return _drift(Drift.STALE, "the file lives, and its handle is stale")


def _gone(sample: Sample, evidence: Evidence) -> Verdict:
    """The native handle is stale as well. A deletion, unless everything but the inode has come back."""
    if sample.deleted is None and evidence.name is not None and _resembles(sample, evidence.name.at.found):
        whole = ", as is its whole filesystem" if evidence.root_replaced else ""
        return _drift(
            Drift.RESTORED,
            f"its path holds a file of the same type, size and modification time with another inode "
            f"({evidence.name.at.found.inode}, was {sample.inode}): restored from a backup{whole}",
        )
    return Verdict(Outcome.DELETED, reason="the file is gone, and its handle is stale")


def _same(sample: Sample, opened: Opened) -> bool:
    found = opened.found
    return opened.native == sample.native and found.type == sample.type and _born_together(sample, found)


def _born_together(sample: Sample, found: Found) -> bool:
    return not sample.birth or not found.birth or sample.birth == found.birth


def _resembles(sample: Sample, found: Found) -> bool:
    # Some archives keep whole seconds only.
    restored_times = (sample.mtime, sample.mtime // _SECOND * _SECOND)
    return (found.type, found.size) == (sample.type, sample.size) and found.mtime in restored_times


def _difference(sample: Sample, opened: Opened) -> str:
    found = opened.found
    if found.type != sample.type:
        return f"type {found.type:#o}, was {sample.type:#o}"
    if opened.native != sample.native:
        return f"inode {found.inode} with another handle, was inode {sample.inode}"
    return f"born {found.birth} ns, was {sample.birth} ns after the epoch"


def _drift(kind: Drift, reason: str) -> Verdict:
    return Verdict(Outcome.DRIFT, kind, reason)
