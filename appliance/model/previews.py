"""What a change would do, told before it is made."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from appliance.model.frozen import Frozen


class ShareChange(Frozen):
    """What would become of one share."""

    name: str = Field(description="The share.")
    change: Literal["add", "change", "remove"] = Field(description="What would be done with it.")
    fields: tuple[str, ...] = Field(default=(), description="For a change: the fields that would be others.")


class Preview(Frozen):
    """What would change, down to the lines of exports(5). Nothing has changed."""

    shares: tuple[ShareChange, ...] = Field(description="The shares that would change, by name.")
    steps: tuple[str, ...] = Field(
        description="What would be done, in order: unmount, open, resize, export, each with its share.",
        examples=[["unmount projects", "open projects", "export"]],
    )
    exports_removed: tuple[str, ...] = Field(description="Lines that would go from the exports(5) file.")
    exports_added: tuple[str, ...] = Field(
        description="Lines that would come into it. An fsid that is made with its share is shown as zeros."
    )


def changed_lines(old: str, new: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the lines that go from `old` and those that come into `new`."""
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    return _marked(lines, "-"), _marked(lines, "+")


def _marked(lines: Sequence[str], mark: str) -> tuple[str, ...]:
    return tuple(line[1:] for line in lines if line.startswith(mark))
