"""Interleaved rounds: A B C A B C for each workload, so that what else a machine does hits all servers alike."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from tests.bench.results import Measured

Work = Callable[[str], dict[str, float]]
"""Does the workload of this name on one server and returns its rates."""


def interleaved(
    servers: dict[str, Work], workloads: Sequence[str], rounds: int, seconds: float = math.inf
) -> Iterator[Measured]:
    """Yield each rate as it is measured. The order turns by one each round: nobody is always the first.

    No round but the first is begun that would take longer than so many seconds in all, were it like the longest so far.
    """
    names = list(servers)
    begun, longest = time.monotonic(), 0.0
    for number in range(rounds):
        start = time.monotonic()
        if number and start + longest > begun + seconds:
            return
        turn = number % len(names)
        for workload in workloads:
            for name in names[turn:] + names[:turn]:
                print(f"round {number + 1} of {rounds}: {workload} on {name}", file=sys.stderr, flush=True)
                for what, rate in servers[name](workload).items():
                    print(f"  {what}: {rate:.4g}", file=sys.stderr, flush=True)
                    yield Measured(number, name, workload, what, rate)
        longest = max(longest, time.monotonic() - start)
