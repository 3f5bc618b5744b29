"""The locks of every Python package that is installed, with hashes: for the image, for development, for building.

They hold for Python 3.11 and later alike. They name no package index, so each machine uses the one it is set up for.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.commands import run
from deploy.console import step
from deploy.paths import CHECKOUT

COMPILE = ("-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
           "--no-emit-index-url", "--no-annotate", "--custom-compile-command", "make lock")
# What each lock is made from. The second is held to the first's versions, so that the tests run what the image runs.
LOCKS: dict[str, tuple[str, ...]] = {
    "requirements.lock": ("pyproject.toml",),
    "requirements-dev.lock": ("pyproject.toml", "--all-extras", "--constraints", "requirements.lock"),
    "requirements-build.lock": ("requirements-build.in",),
}


def lock(checkout: Path = CHECKOUT) -> None:
    """Write the locks anew with the newest versions that pyproject.toml allows. Raises CommandError."""
    for name, sources in LOCKS.items():
        with step(f"Locking {name}") as current:
            run((sys.executable, *COMPILE, "--upgrade", *sources, "--output-file", name), step=current, cwd=checkout)
