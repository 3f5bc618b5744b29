"""`make clean`: removes what can be built again. What runs goes on."""

from __future__ import annotations

import shutil

from deploy.console import say
from deploy.paths import cache_root


def clean() -> int:
    """Remove the caches."""
    say(f"Removing {cache_root()}")
    shutil.rmtree(cache_root(), ignore_errors=True)
    return 0
