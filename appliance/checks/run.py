"""One check of a share's samples, from the first to the last, in a process that may hang."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from appliance.checks import sampling
from appliance.checks.classify import Share, Verdict, classify
from appliance.checks.evidence import Opened
from appliance.checks.outcomes import Outcome
from appliance.checks.over_nfs import NfsView
from appliance.checks.samples import Sample
from appliance.checks.view import View

Seen = View | NfsView

SECOND_LOOKS = (0.1, 1.0)  # seconds before each; the kernel may show what it knows for a second


@dataclass(frozen=True)
class Finding:
    """A sample and what became of it; `path` is where the file is now, if that is known and another place."""

    sample: Sample
    verdict: Verdict
    path: bytes | None = None


def check(
    view: Seen,
    share: Share,
    samples: Sequence[Sample],
    progress: Callable[[int], None],
    pace: Callable[[], None],
    second_looks: Sequence[float] = SECOND_LOOKS,
) -> list[Finding]:
    """Check all samples. What looks wrong is looked at again: a file may have changed between two looks."""
    findings: list[Finding] = []
    for done, sample in enumerate(samples, 1):
        findings.append(Finding(sample, classify(sample, share, view.evidence(sample))))
        progress(done)
        pace()
    root_replaced = any(one.verdict.kind == "source-replaced" for one in findings)
    for delay in second_looks:
        suspects = [place for place, one in enumerate(findings) if _suspect(one.verdict)]
        if not suspects:
            break
        time.sleep(delay)
        for place in suspects:
            sample = findings[place].sample
            evidence = view.inquest(sample, root_replaced=root_replaced)
            findings[place] = Finding(sample, classify(sample, share, evidence))
            pace()
    return [_located(view, one, pace) for one in findings]


def _suspect(verdict: Verdict) -> bool:
    return verdict.outcome in (Outcome.DRIFT, Outcome.UNANSWERED)


def _located(view: Seen, finding: Finding, pace: Callable[[], None]) -> Finding:
    if finding.verdict.outcome is not Outcome.MOVED:
        return finding
    pace()
    try:
        return replace(finding, path=view.path_of(finding.sample.native))
    except OSError:
        return finding


def renewed(view: Seen, findings: Sequence[Finding], now: float) -> list[Sample]:
    """Return the samples as they are to be kept: refreshed, and without those that have nothing more to tell."""
    return [sample for finding in findings if (sample := _renew(view, finding, now)) is not None]


def _renew(view: Seen, finding: Finding, now: float) -> Sample | None:
    sample = finding.sample
    match finding.verdict.outcome:
        case Outcome.SAME | Outcome.MOVED:
            answer = view.behind(sample.native)
            if not isinstance(answer, Opened):
                return sample
            found = answer.found
            return replace(sample, size=found.size, mtime=found.mtime, path=finding.path or sample.path)
        case Outcome.DELETED:
            return replace(sample, deleted=sample.deleted or now)
        case Outcome.REVOKED:
            return None
        case _:
            return sample


def new_samples(
    view: View,
    samples: Sequence[Sample],
    capacity: int,
    share: Share,
    dice: random.Random,
    pace: Callable[[], None],
) -> Iterator[Sample]:
    """Fill the sample up, or put some new ones beside the old."""
    living = sum(sample.deleted is None for sample in samples)
    count = max(capacity - living, capacity // 20)
    known = {sample.path for sample in samples if sample.deleted is None}
    return sampling.take_new(view, count, known, share.fsid, share.key, dice, pace)
