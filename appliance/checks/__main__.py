"""`python -m appliance.checks`: carry out one order from standard input; see appliance.checks.messages.

A process of its own, because whatever touches a share may wait for as long as the share's storage does.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from appliance.checks import over_nfs, run
from appliance.checks.classify import Share
from appliance.checks.decode import decode_mount_handle, decode_source_handle
from appliance.checks.eviction import evict
from appliance.checks.forms import MountHandle, SourceHandle
from appliance.checks.messages import (
    ORDERS,
    Answer,
    Answered,
    Checked,
    CheckOrder,
    DecodeOrder,
    Failed,
    Found,
    Named,
    NameOrder,
    Order,
    Progress,
    ShareAccess,
)
from appliance.checks.outcomes import Outcome
from appliance.checks.over_nfs import NfsView
from appliance.checks.pace import Pace
from appliance.checks.paths import paths_of
from appliance.checks.samples import keep, key_id
from appliance.checks.view import View, opened_mount
from appliance.errors import HoldfastError
from appliance.fuse.codecs import choice
from appliance.fuse.key import HandleKey
from appliance.linux import process
from appliance.linux.handles import NativeHandle

_PROGRESS_SECONDS = 0.2
_NICENESS = 5  # clients come first


def main() -> int:
    """Read an order, carry it out, answer. The answers tell how it went; the status is 0 unless this has a defect."""
    process.set_name("holdfast-check")
    os.nice(_NICENESS)
    order = ORDERS.validate_json(sys.stdin.buffer.read())
    _say(Progress(done=0, total=len(order.samples) if isinstance(order, CheckOrder) else 0))
    try:
        with ExitStack() as stack:
            _say(_carried_out(order, stack))
    except HoldfastError as error:
        _say(Failed(code=error.code, message=error.message, hint=error.hint))
    except OSError as error:
        _say(Failed(code="unanswered", message=f"the share does not let itself be checked: {error.strerror}"))
    return 0


def _carried_out(order: Order, stack: ExitStack) -> Answer:
    match order:
        case CheckOrder():
            return _check(order, stack)
        case DecodeOrder():
            return _decode(order, stack)
        case NameOrder(share=share, nodes=nodes, seconds=seconds):
            paths = paths_of(_view(share, stack), nodes, seconds)
            return Named(paths=paths.found, complete=paths.complete)


def _check(order: CheckOrder, stack: ExitStack) -> Answer:
    began = time.monotonic()
    access = order.share
    view = _view(access, stack)
    seen: View | NfsView = view
    if order.nfs is not None:
        seen = stack.enter_context(over_nfs.connected(view, access.fsid, order.nfs))
    share = Share(str(access.fsid), key_id(access.key), frozenset(map(key_id, access.revoked)))
    dice = random.Random()  # noqa: S311 - which files are sampled is no secret
    samples = list(order.samples)
    reporter = _Reporter(len(samples))
    pace = reporter.beside(Pace())
    few = sum(sample.deleted is None for sample in samples) < order.capacity // 2
    if few:  # so that the first check of a share is one
        samples += run.new_samples(view, samples, order.capacity, share, dice, pace)
    if order.evict:
        evict(Path(access.mountpoint))
    reporter.total = len(samples)
    findings = run.check(seen, share, samples, reporter, pace)
    took = time.monotonic() - began
    kept = run.renewed(seen, findings, time.time())
    if not few:
        kept += run.new_samples(view, kept, order.capacity, share, dice, pace)
    return Checked(
        counts=Counter(finding.verdict.outcome for finding in findings),
        found=tuple(
            Found(
                sample=one.sample,
                outcome=one.verdict.outcome,
                drift=one.verdict.kind,
                reason=one.verdict.reason,
                path=one.path,
            )
            for one in findings
            if one.verdict.outcome is not Outcome.SAME and not (one.sample.deleted and one.verdict.kind is None)
        ),
        samples=tuple(keep(kept, order.capacity, dice)),
        seconds=took,
    )


def _decode(order: DecodeOrder, stack: ExitStack) -> Answer:
    view = _view(order.share, stack)
    if order.form == "mount":
        handle = MountHandle(NativeHandle(order.type or 0, order.data))
        return Answered(decoded=decode_mount_handle(view, handle, order.share.revoked))
    return Answered(decoded=decode_source_handle(view, SourceHandle(order.type, order.data)))


def _view(access: ShareAccess, stack: ExitStack) -> View:
    mount = stack.enter_context(opened_mount(access.mountpoint))
    codec = choice.build(access.codec, access.source, access.table)
    return View(mount, access.source, codec, HandleKey(access.key))


class _Reporter:
    """Tells how far it is, now and then: also while that stays the same, since who says nothing is taken to hang."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._done = 0
        self._next = 0.0

    def __call__(self, done: int) -> None:
        self._done = done
        self._tell()

    def beside(self, pace: Callable[[], None]) -> Callable[[], None]:
        """Return a pace that tells as well."""

        def paced() -> None:
            self._tell()
            pace()

        return paced

    def _tell(self) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + _PROGRESS_SECONDS
            _say(Progress(done=self._done, total=self.total))


def _say(answer: Answer) -> None:
    data = answer.model_dump_json().encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main())
