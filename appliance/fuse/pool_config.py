"""What a pool process is started with: descriptors it inherits, and options."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Self

from appliance.fuse.codecs.choice import CodecChoice


@dataclass(frozen=True)
class PoolOptions:
    """How a share is served. Times are seconds; `descriptors` bounds the inodes each worker holds open.

    `table` is the path of the table of handles, for the codec that needs one.
    """

    workers: int = 2
    descriptors: int = 1024
    entry_timeout: float = 1.0
    attr_timeout: float = 1.0
    table: str = ""


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
