"""How much is measured, by the size of a run: servers, workloads, rounds and kills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.nfs.servers import DEFAULT, OTHER_PATH, VARIANTS, Variants

# What is done in one turn. The shorter a turn, the better what else the machine does is spread over all servers.
_TURNS = ("fio", "small,sqlite,parallel", "tree,git")


@dataclass(frozen=True)
class Plan:
    """How much of all. A round is begun only while there is time for it; the first always is.

    `work` is a size of work.py, `files` those of the source tree, `kills` how often each blow is dealt, `counted` the
    workloads of which it is told what reached workers.
    """

    work: str
    files: int
    rounds: int
    seconds: Mapping[str, float]
    variants: Variants
    turns: Mapping[str, Sequence[str]]
    kills: tuple[str, ...]
    counted: Sequence[str] = _TURNS


PLANS = {
    # All workloads are run by tests/fuse/test_bench.py, without NFS and much faster.
    "smoke": Plan(
        "smoke", files=5, rounds=1, seconds={"ext4": 1}, variants={"ext4": (DEFAULT,)},
        turns={"ext4": ("small,sqlite",)}, counted=("small",), kills=("nothing=1", "worker=1"),
    ),
    "small": Plan(
        "emulated", files=40, rounds=1, seconds={"ext4": 1, "xfs": 1},
        variants={"ext4": (DEFAULT, OTHER_PATH), "xfs": (DEFAULT,)},
        turns={"ext4": _TURNS, "xfs": _TURNS},
        kills=("nothing=3", "worker=3", "pool=2", "supervisor=2", "container=1"),
    ),
    # Reading and writing only, and so much of it that opening files and the sync at the end do not weigh.
    "data": Plan(
        "data", files=5, rounds=9, seconds={"ext4": 660, "xfs": 660},
        variants={"ext4": (DEFAULT,), "xfs": (DEFAULT,)},
        turns={"ext4": ("fio",), "xfs": ("fio",)}, counted=("fio",), kills=("nothing=1",),
    ),
    "full": Plan(
        "emulated", files=40, rounds=5, seconds={"ext4": 1700, "xfs": 450},
        variants={"ext4": VARIANTS, "xfs": (DEFAULT,)},
        turns={"ext4": _TURNS, "xfs": _TURNS},
        kills=("nothing=10", "worker=10", "pool=5", "supervisor=5", "container=3"),
    ),
}  # fmt: skip
