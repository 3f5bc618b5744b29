"""`python -m appliance.trial`: whether this release can start here, with the state beside an appliance that runs.

What is looked at: the settings, everything that `python -m appliance` wants to be true before it starts anything,
whether all of its parts can be loaded, and whether it knows the schema of the state. Nothing is changed.
"""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import sys
from pathlib import Path

from appliance import settings
from appliance.errors import HoldfastError, StateError
from appliance.state.schema import MIGRATIONS
from appliance.supervisor import modules, preconditions

# What the processes of the appliance run; a module that cannot be imported would be noticed only after the swap.
_PARTS = ("appliance.supervisor.service", "appliance.fuse.worker", "appliance.checks.run", "api.app")


def look() -> None:
    """Raise the HoldfastError of the first thing that would keep this release from starting."""
    loaded = settings.load()
    if loaded.load_modules:
        modules.load()
    preconditions.check(loaded)
    for name in _PARTS:
        importlib.import_module(name)
    if loaded.database.exists():
        check_schema(loaded.database)


def check_schema(database: Path) -> None:
    """Raise StateError if the state was written by a newer release, or cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise StateError(f"the state database cannot be read: {error}", "holdfast-deploy status") from error
    if version > len(MIGRATIONS):
        raise StateError(
            f"the state database has schema {version}, this release knows {len(MIGRATIONS)}",
            "restore a backup made before the upgrade",
        )


def main() -> int:
    """Look, and return the exit status that the appliance would end with."""
    try:
        look()
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
