"""Run a command of the system: one that fails is shown in a form that can be pasted into a shell."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence


class CommandError(Exception):
    """A command ended with another status than zero."""


def run(*command: str | bytes | os.PathLike[str], check: bool = True, timeout: float = 60) -> str:
    """Return what the command printed on stdout; with `check=False`, whatever its status was."""
    done = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise CommandError(f"{pasteable(command)} ended with {done.returncode}: {os.fsdecode(done.stderr).strip()}")
    return os.fsdecode(done.stdout)


def pasteable(command: Sequence[str | bytes | os.PathLike[str]]) -> str:
    """Return the command as one line of shell."""
    return shlex.join(os.fsdecode(word) for word in command)
