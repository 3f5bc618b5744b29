"""`python -m appliance.checks.source_look`: says whether sources are what they were, as long as its input is open.

Each line on standard input asks about one source, and one line answers. To look at a path may take for ever when its
storage is dead, so nobody but this process does.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from appliance.errors import HoldfastError
from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.source import Source
from appliance.fuse.source_id import SourceId
from appliance.linux import process

_BLOCK_DEVICES = Path("/sys/dev/block")
_STORAGE_FAILED = "source"  # the code of a SourceError that is an error of the system's


class Verdict(StrEnum):
    """`again` is the same filesystem as a new one of the kernel's: what the old one had not yet written may be lost."""

    SAME = "same"
    AGAIN = "again"
    GONE = "gone"


@dataclass(frozen=True)
class Look:
    """What to look at: a path below the roots, if any are given, and what should be there.

    `device` is the device number of what is served, -1 if nothing is.
    """

    path: str
    codec: CodecChoice
    known: SourceId | None
    device: int
    roots: tuple[str, ...] = ()

    def to_line(self) -> bytes:
        """Return it as one line."""
        known = self.known.to_json() if self.known else None
        return json.dumps([self.path, self.codec.to_json(), known, self.device, self.roots]).encode() + b"\n"

    @classmethod
    def from_line(cls, line: str) -> Look:
        """Read what `to_line` wrote."""
        path, codec, known, device, roots = json.loads(line)
        source_id = SourceId.from_json(known) if known else None
        return cls(path, CodecChoice.from_json(codec), source_id, device, tuple(roots))


@dataclass(frozen=True)
class Seen:
    """What was found; of what is gone, the error. `broken`: what is served does not work any more, too."""

    verdict: Verdict
    code: str = ""
    message: str = ""
    hint: str = ""
    broken: bool = False

    def to_line(self) -> bytes:
        """Return it as one line."""
        return json.dumps(vars(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Seen:
        """Read what `to_line` wrote. Raises ValueError, TypeError."""
        fields = json.loads(line)
        return cls(**{**fields, "verdict": Verdict(fields["verdict"])})


def look(order: Look, block_devices: Path = _BLOCK_DEVICES) -> Seen:
    """Look once. What is opened is a private copy of the mount, so that nobody's unmount is in the way of it."""
    lost = _is_lost(order.device, block_devices)
    try:
        source = Source.open(Path(order.path), order.codec, order.known, [Path(root) for root in order.roots])
    except HoldfastError as error:
        return Seen(Verdict.GONE, error.code, error.message, error.hint, lost or error.code == _STORAGE_FAILED)
    try:
        device = os.fstat(source.fd).st_dev
    except OSError as error:
        return Seen(Verdict.GONE, _STORAGE_FAILED, f"the source {order.path}: {error.strerror}", "", broken=True)
    finally:
        source.close()
    if _is_lost(device, block_devices):
        return Seen(
            Verdict.GONE,
            "source-device-gone",
            f"the device of the source {order.path}, {os.major(device)}:{os.minor(device)}, was removed",
            "connect it again, unmount what is left of it and mount it anew",
            broken=True,
        )
    return Seen(Verdict.SAME if device == order.device else Verdict.AGAIN)


def _is_lost(device: int, block_devices: Path) -> bool:
    """Whether a device number was that of a block device which is no more; it asks no storage."""
    if device < 0 or os.major(device) == 0 or not block_devices.exists():  # 0: a filesystem without a device
        return False
    return not (block_devices / f"{os.major(device)}:{os.minor(device)}").exists()


def main() -> int:
    """Answer until nobody asks any more."""
    process.set_name("holdfast-look")
    for line in sys.stdin:
        os.write(1, look(Look.from_line(line)).to_line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
