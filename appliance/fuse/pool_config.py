"""What a pool process is started with: descriptors it inherits, and options."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Self

from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.scoreboard import MAX_WORKERS

# Of one order to a pool process.
MAX_ORDER_DESCRIPTORS = 250  # the kernel passes no more than 253 with a message (SCM_MAX_FD)
MAX_ORDER = 8192  # bytes: as many node ids of twenty digits

_GROWTH = 4
_GRAVES = 8


@dataclass(frozen=True)
class PoolOptions:
    """How a share is served. Times are seconds; `descriptors` bounds the inodes each worker holds open.

    While workers wait for storage there are others, up to `most_workers` in all (0: four times `workers`). A worker
    waits if it is at one request for `patience`; the share is told to be slow after `slow_after`.
    The three time-outs say for how long the kernel believes names, attributes, and that there is no such name. With
    `watch` what local processes change is noticed before, see appliance.fuse.watcher.
    `table` is the path of the table of handles, for the codec that needs one. With `durable` changes of names and
    attributes are on storage before they are answered. `passthrough` lets the kernel read and write files itself where
    it can.
    """

    workers: int = 2
    most_workers: int = 0
    patience: float = 1.0
    slow_after: float = 5.0
    descriptors: int = 1024
    entry_timeout: float = 1.0
    attr_timeout: float = 1.0
    negative_timeout: float = 0.0
    watch: bool = False
    table: str = ""
    durable: bool = False
    passthrough: bool = True

    @property
    def limit(self) -> int:
        """The most workers there may be at once."""
        return min(MAX_WORKERS, max(self.workers, self.most_workers or _GROWTH * self.workers))

    @property
    def slots(self) -> int:
        """Slots of the scoreboard in use: some of the dead keep theirs for as long as their requests must wait."""
        return min(MAX_WORKERS, self.limit + _GRAVES)


@dataclass(frozen=True)
class PoolConfig:
    """The one argument of a pool process: descriptor numbers, the kernel's INIT request in hex, options."""

    name: str
    connection: int
    source: int
    scoreboard: int
    control: int
    queue_receiver: int
    queue_sender: int
    init_request: str
    codec: CodecChoice
    options: PoolOptions = field(default_factory=PoolOptions)

    def to_argument(self) -> str:
        """Return the configuration as a command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> Self:
        """Read what `to_argument` wrote."""
        fields = json.loads(argument)
        codec = CodecChoice.from_fields(fields["codec"])
        return cls(**{**fields, "codec": codec, "options": PoolOptions(**fields["options"])})
