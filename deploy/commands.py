"""Running other programs: argument lists, never shell strings; a failure is told once, in a form that can be pasted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.console import Step
from deploy.errors import CommandError

KEPT_LINES = 40


def run(argv: Sequence[str], *, step: Step | None = None, cwd: Path | None = None,
        env: Mapping[str, str] | None = None) -> None:
    """Run a program to its end; what it prints feeds the step's signs of life and, if it fails, the error.

    `env` is added to this process's environment. Raises CommandError.
    """
    tail: deque[str] = deque(maxlen=KEPT_LINES)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          cwd=cwd, env=_environment(env), text=True, errors="replace") as process:
        assert process.stdout is not None  # noqa: S101 - PIPE above
        for line in process.stdout:
            tail.append(line)
            if step is not None:
                step.heard(line)
    if process.returncode != 0:
        raise CommandError(argv, process.returncode, "".join(tail))


def capture(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
    """Return what a program wrote to standard output. Raises CommandError with what it wrote to standard error."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=_environment(env), text=True,
                          errors="replace", check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)
    return done.stdout


def succeeds(argv: Sequence[str]) -> bool:
    """Tell whether a program exists and ends with status 0."""
    if shutil.which(argv[0]) is None:
        return False
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}
