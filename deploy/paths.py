"""Where deployment keeps things: the checkout it works on, caches that can be thrown away, and what is running."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def cache_root() -> Path:
    """Return the directory of what can be built again (`$XDG_CACHE_HOME/holdfast`)."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_root() -> Path:
    """Return the directory of what is running or has failed (`$XDG_STATE_HOME/holdfast`)."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def _xdg(variable: str, default: str) -> Path:
    # The XDG base directory specification: a relative value is invalid and is to be ignored.
    value = Path(os.environ.get(variable, ""))
    return (value if value.is_absolute() else Path.home() / default) / "holdfast"
