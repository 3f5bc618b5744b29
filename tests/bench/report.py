"""What a benchmark found: as JSON for programs, as a table in Markdown for people, with the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One size of one filesystem. Times are of one call by a program, in microseconds; memory is of one worker."""

    filesystem: str
    codec: str
    files: int
    visit_per_second: int
    cold_median_us: float
    cold_p99_us: float
    source_median_us: float
    worker_kib: int
    worker_descriptors: int
    table_kib: int


_HEADINGS = {
    "filesystem": "filesystem",
    "codec": "codec",
    "files": "files",
    "visit_per_second": "files visited/s",
    "cold_median_us": "cold look-up, median µs",
    "cold_p99_us": "p99 µs",
    "source_median_us": "on the source itself, median µs",
    "worker_kib": "worker's own memory, KiB",
    "worker_descriptors": "its descriptors",
    "table_kib": "table, KiB",
}


def machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    return {"kernel": platform.release(), "python": platform.python_version(), "processors": os.cpu_count()}


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    lines = [f"| {' | '.join(_HEADINGS.values())} |", f"|{'---|' * len(_HEADINGS)}"]
    lines += [f"| {' | '.join(_cell(getattr(row, name)) for name in _HEADINGS)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}" if isinstance(value, float) else str(value)


def write(directory: Path, rows: Sequence[Row]) -> None:
    """Write inodes.json and inodes.md."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    (directory / "inodes.json").write_text(json.dumps(document, indent=1) + "\n")
    (directory / "inodes.md").write_text(markdown(rows))
