"""What the supervisor tells a checker on its standard input, and what that answers on its standard output.

A checker gets one order, answers with any number of lines, and ends. It may hang at any point, because it touches the
share; whoever waits for it has to be ready to wait no longer.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, TypeAdapter

from appliance.checks.decode import Decoded
from appliance.checks.outcomes import Drift, Outcome
from appliance.checks.samples import Sample
from appliance.fuse.codecs.choice import CodecChoice
from appliance.model.frozen import Frozen

_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class _Message(Frozen):
    model_config = _BYTES


class ShareAccess(_Message):
    """How a checker reaches a share. `source` is the number of a descriptor that it inherits."""

    name: str
    mountpoint: str
    source: int
    codec: CodecChoice
    table: str
    key: bytes
    fsid: UUID
    revoked: tuple[bytes, ...] = ()


class OverNfs(_Message):
    """How a checker reaches a share as a client does: the server's port, the path there, the address to call from."""

    port: int
    path: str
    caller: str


class CheckOrder(_Message):
    """Check these samples, then bring their number to `capacity`."""

    op: Literal["check"] = "check"
    share: ShareAccess
    samples: tuple[Sample, ...]
    capacity: int
    evict: bool = False
    nfs: OverNfs | None = None
    """The way through the NFS server, if the check is to go there."""


class DecodeOrder(_Message):
    """Say what the share makes of a handle: of its mount (`mount`), or of its source, with or without a type."""

    op: Literal["decode"] = "decode"
    share: ShareAccess
    form: Literal["mount", "source"]
    type: int | None
    data: bytes


class NameOrder(_Message):
    """Say by which paths the share's nodes are reached, for at most so many seconds of looking."""

    op: Literal["name"] = "name"
    share: ShareAccess
    nodes: tuple[int, ...]
    seconds: float


class Progress(_Message):
    """How many samples have been looked at."""

    kind: Literal["progress"] = "progress"
    done: int
    total: int


class Found(_Message):
    """What became of one sample that is not simply as it was."""

    sample: Sample
    outcome: Outcome
    drift: Drift | None
    reason: str
    path: bytes | None


class Checked(_Message):
    """The end of a check: how many samples had each outcome, those to be told of, and the samples to keep."""

    kind: Literal["checked"] = "checked"
    counts: dict[Outcome, int]
    found: tuple[Found, ...]
    samples: tuple[Sample, ...]
    seconds: float


class Answered(_Message):
    """The end of a decoding."""

    kind: Literal["decoded"] = "decoded"
    decoded: Decoded


class Named(_Message):
    """The paths that were found, and whether they were looked for to the end."""

    kind: Literal["named"] = "named"
    paths: dict[int, bytes]
    complete: bool


class Failed(_Message):
    """It could not be done."""

    kind: Literal["failed"] = "failed"
    code: str
    message: str
    hint: str = ""


Order = Annotated[CheckOrder | DecodeOrder | NameOrder, Field(discriminator="op")]
Answer = Annotated[Progress | Checked | Answered | Named | Failed, Field(discriminator="kind")]

ORDERS: TypeAdapter[Order] = TypeAdapter(Order)
ANSWERS: TypeAdapter[Answer] = TypeAdapter(Answer)
