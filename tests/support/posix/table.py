"""The table: every check of this package, by name, and how one is run in a directory."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.support import posix
from tests.support.children import in_child
from tests.support.posix.journal import Entry, Journal

Check = Callable[[Journal], None]


def _collect() -> Mapping[str, Check]:
    found: dict[str, Check] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(posix.__path__)):
        if module.startswith("check_"):
            members = vars(importlib.import_module(f"{posix.__name__}.{module}"))
            for name, member in members.items():
                if name.startswith("check_"):
                    assert name not in found, f"two checks are called {name}"
                    found[name] = member
    return MappingProxyType(found)


CHECKS = _collect()


def run_check(name: str, parent: Path) -> list[Entry]:
    """Run a check in a new directory below `parent` and return its journal, which ends with the directory's tree."""
    place = parent / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()

    def perform() -> list[Entry]:
        os.chdir(place)
        os.umask(0o022)
        journal = Journal()
        CHECKS[name](journal)
        os.chdir(place)
        journal.tree()
        return journal.entries

    return in_child(perform)
