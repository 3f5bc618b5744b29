"""`python -m appliance.checks.canary CONFIG`: one share's canary, for as long as its standard input is open.

Each line on standard input is a sample; the share's root and that file are opened by their handles through the mount,
and one line tells how it went. No answer is an answer too: whoever asks must not wait for ever. Nothing of pydantic is
in here, since there is such a process for each share.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field

from appliance.checks import run, sampling
from appliance.checks.classify import Share
from appliance.checks.outcomes import Outcome
from appliance.checks.samples import Sample, from_text, key_id
from appliance.checks.view import View, opened_mount
from appliance.fuse.codecs import choice
from appliance.fuse.codecs.choice import CodecChoice
from appliance.fuse.key import HandleKey
from appliance.linux import process

_SECOND_LOOKS = (0.1, 1.0)


@dataclass(frozen=True)
class Pulse:
    """How it went: the outcome (`same` if root and sample open their files), the reason, and the time it took."""

    outcome: str
    reason: str
    seconds: float
    room: dict[str, int] = field(default_factory=dict)
    """Bytes and inodes of the source's filesystem, by the names of appliance.numbers.Capacity."""

    def to_line(self) -> bytes:
        """Return it as one line."""
        return json.dumps(vars(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Pulse:
        """Read what `to_line` wrote. Raises ValueError, TypeError."""
        return cls(**json.loads(line))


def main() -> int:
    """Answer until nobody asks any more. The first line has the key, which is nothing for a command line."""
    process.set_name("holdfast-canary")
    config = json.loads(sys.argv[1])
    key = bytes.fromhex(sys.stdin.readline().strip())
    codec = choice.build(CodecChoice.from_fields(config["codec"]), config["source"], config["table"])
    share = Share(config["fsid"], key_id(key))
    for line in sys.stdin:
        began = time.monotonic()
        try:
            with opened_mount(config["mountpoint"]) as mount:
                view = View(mount, config["source"], codec, HandleKey(key))
                outcome, reason = _look(view, share, from_text(line) if line.strip() else None)
        except OSError as error:
            outcome, reason = Outcome.UNANSWERED, f"the mount answers {error.strerror}"
        os.write(1, Pulse(outcome.value, reason, time.monotonic() - began, _room(config["source"])).to_line())
    return 0


def _room(source: int) -> dict[str, int]:
    """Return the room on the source; the share's clients wait as well when its storage does not answer."""
    try:
        found = os.fstatvfs(source)
    except OSError:
        return {}
    return {
        "bytes_total": found.f_blocks * found.f_frsize,
        "bytes_free": found.f_bfree * found.f_frsize,
        "bytes_available": found.f_bavail * found.f_frsize,
        "inodes_total": found.f_files,
        "inodes_free": found.f_ffree,
    }


def _look(view: View, share: Share, sample: Sample | None) -> tuple[Outcome, str]:
    """Open the root, and the sampled file if there is one already."""
    root = sampling.take(view, b"", share.fsid, share.key)
    if root is None:
        return Outcome.UNANSWERED, "the share's root does not open by its handle"
    findings = run.check(
        view, share, [sample] if sample else [], lambda _: None, lambda: None, second_looks=_SECOND_LOOKS
    )
    for finding in findings:
        if finding.verdict.outcome is not Outcome.SAME:
            return finding.verdict.outcome, finding.verdict.reason
    return Outcome.SAME, ""


if __name__ == "__main__":
    sys.exit(main())
