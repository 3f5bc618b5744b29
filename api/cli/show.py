"""What the command line shows: a bar while a check runs, tables when it is done. Pure functions, but for `draw`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from api.cli.client import Json

_BAR = 40  # columns
_MOST = 50  # findings shown
_ORDER = ("same", "moved", "deleted", "revoked", "unanswered", "drift")


def bar(done: int, total: int) -> str:
    """Return a progress bar."""
    filled = _BAR * done // total if total else 0
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {done}/{total or '?'}"


def draw(line: str, *, last: bool = False) -> None:
    """Draw a line over the one before, on a terminal only: a log has no use for it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{'' if last else line}")
        sys.stderr.flush()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def summary(report: Json) -> str:
    """Return what a check that is done found."""
    counts = report["counts"]
    total = sum(counts.values())
    rows = [("outcome", "handles")] + [(outcome, str(counts.get(outcome, 0))) for outcome in _ORDER]
    head = f"{report['share']}: {total} handles checked in {report['seconds']:.1f} s, mode {report['mode']}"
    told = [one for one in report["findings"] if one["outcome"] in ("drift", "unanswered")]
    parts = [head, "", table(rows)]
    if told:
        findings = [("outcome", "path", "reason")]
        findings += [(one["drift"] or one["outcome"], one["path"] or "/", one["reason"]) for one in told[:_MOST]]
        parts += ["", table(findings)]
    if len(told) > _MOST:
        parts.append(f"... and {len(told) - _MOST} more: GET /v1/shares/{report['share']}/handle-checks/{report['id']}")
    return "\n".join(parts)


def decoded(found: Json) -> str:
    """Return what a handle names."""
    rows = [("verdict", found["verdict"]), ("reason", found["reason"]), ("form", found["form"])]
    rows += [
        (label, str(found[field]))
        for label, field in (
            ("share", "share"),
            ("fsid", "fsid"),
            ("node id", "node_id"),
            ("generation", "generation"),
            ("native handle", "native"),
            ("inode", "inode"),
        )
        if found.get(field) is not None
    ]
    rows += [("path", path or "/ (the share's root)") for path in found["paths"]]
    if not found["paths_complete"]:
        rows.append(("path", "(the tree is too large to look through all of it)"))
    return table(rows)
