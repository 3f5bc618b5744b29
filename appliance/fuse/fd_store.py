"""Descriptors that outlive the process that opened them: it hands them to a store, and its successor finds them there.

The name is systemd's, whose FDSTORE does this for services. What is a store and how a successor gets at it is not the
data path's business; it only says what has to last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Held:
    """What was kept under a name: a text, and descriptors that belong to whoever found them."""

    text: str
    descriptors: tuple[int, ...]


class FdStore(Protocol):
    """Where to leave descriptors."""

    def keep(self, name: str, text: str, descriptors: Sequence[int], spare: int = 0) -> None:
        """Keep copies of the descriptors, in place of what had the same name.

        `spare` is the process that has to live on with them should this one die.
        """
        ...

    def drop(self, name: str) -> None:
        """Close what is kept under this name, if anything is."""
        ...


class NoFdStore:
    """For a process whose successor begins anew."""

    def keep(self, name: str, text: str, descriptors: Sequence[int], spare: int = 0) -> None:
        """Keep nothing."""

    def drop(self, name: str) -> None:
        """Have nothing to drop."""
