"""A pool process whose workers fail when they are told to: `python -m appliance.fuse --pool-module` this one.

What fails is a request for a name that says so, in whichever worker: NAME.die-before.ID and NAME.die-after.ID before
and after the operation was carried out; NAME.die-after.2.ID only the first two times; NAME.hang.ID waits before
it is carried out until the marker is taken away, and makes ID.reached with the worker's pid. The daemon itself has no
such thing in it.
"""

from __future__ import annotations

import math
import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from appliance.fuse import drain, pool, worker
from appliance.fuse.operation_numbers import OPERATIONS
from appliance.fuse.operations import Operations
from appliance.fuse.scoreboard import Scoreboard

MARKERS = "HOLDFAST_TEST_MARKERS"  # the variable with the directory of the markers: a byte for each death
PATIENCE = "patience"  # a marker that, while it is there, has drains wait for ever

_HEALTHY = ("lookup", "getxattr")  # asked for in the course of other operations
_ORDER = re.compile(rb"\.(die-before|die-after|hang)\.(?:(\d+)\.)?(\w+)$")


def _faulty(verb: str) -> Callable[..., Any]:
    healthy: Callable[..., Any] = getattr(Operations, f"op_{verb}")

    def operation(self: Operations, *arguments: Any) -> Any:
        names = [each for each in arguments if isinstance(each, bytes)]
        order = next(filter(None, map(_ORDER.search, names)), None) if verb not in _HEALTHY else None
        if order is None:
            return healthy(self, *arguments)
        kind, times, marker = order.groups()
        path = Path(os.environ[MARKERS]) / os.fsdecode(marker)
        if kind == b"die-before":
            _die(path, times)
        if kind == b"hang":
            reached = path.with_suffix(".new")
            reached.write_text(str(os.getpid()))
            reached.rename(path.with_suffix(".reached"))
            while path.exists():
                time.sleep(0.01)
        try:
            return healthy(self, *arguments)
        finally:
            if kind == b"die-after":
                _die(path, times)

    return operation


def _die(marker: Path, times: bytes | None) -> None:
    with marker.open("ab") as file:
        if times is None or file.tell() < int(times):
            file.write(b".")
            file.close()
            signal.raise_signal(signal.SIGABRT)


def _drain(board: Scoreboard, workers: Iterable[drain.Worker], patience: float, meanwhile: Any) -> list[drain.Worker]:
    endless = (Path(os.environ[MARKERS]) / PATIENCE).exists()
    return drain.drain(board, workers, math.inf if endless else patience, meanwhile)


if __name__ == "__main__":
    vars(pool)["drain"] = _drain
    faulty = {f"op_{verb}": _faulty(verb) for verb in OPERATIONS}
    vars(worker)["Operations"] = type("FaultyOperations", (Operations,), faulty)
    pool.main()
