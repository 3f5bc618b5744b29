"""What one look at the host has found."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """How it stands with one thing that the appliance needs."""

    OK = "ok"
    NOTE = "note"  # works, and is worth knowing
    FAILED = "failed"
    UNKNOWN = "unknown"  # could not be looked at


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    subject: str
    verdict: Verdict
    message: str
    mend: str = ""
    """The command that mends it, or that makes it possible to look; never empty for what failed or is unknown."""

    def __post_init__(self) -> None:
        if self.verdict in (Verdict.FAILED, Verdict.UNKNOWN) and not self.mend:
            raise ValueError(f"{self.subject} {self.verdict} without a command that mends it")


def ok(subject: str, message: str) -> Finding:
    """Return that it is as it should be."""
    return Finding(subject, Verdict.OK, message)


def note(subject: str, message: str, mend: str = "") -> Finding:
    """Return that it works and is worth knowing."""
    return Finding(subject, Verdict.NOTE, message, mend)


def failed(subject: str, message: str, mend: str) -> Finding:
    """Return that the appliance cannot run, and the command that mends it."""
    return Finding(subject, Verdict.FAILED, message, mend)


def unknown(subject: str, message: str, mend: str) -> Finding:
    """Return that it could not be looked at, and what makes it possible."""
    return Finding(subject, Verdict.UNKNOWN, message, mend)


def passes(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed and nothing is unknown."""
    return not any(finding.verdict in (Verdict.FAILED, Verdict.UNKNOWN) for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """Return the report for people."""
    width = max((len(finding.subject) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict.value:7}  {finding.subject:{width}}  {finding.message}")
        if finding.mend:
            lines.append(f"{'':7}  {'':{width}}  > {finding.mend}")
    return "\n".join(lines) + "\n"


def as_data(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the report for machines, ready for JSON."""
    return {
        "ok": passes(findings),
        "findings": [
            {"subject": one.subject, "verdict": one.verdict.value, "message": one.message, "mend": one.mend}
            for one in findings
        ],
    }
