"""Knowing that a daemon notices what is changed behind its mount: what happened before that it does not hear of."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.daemon import Daemon

PATIENCE_SECONDS = 120.0

T = TypeVar("T")


def until(look: Callable[[], T], wanted: T) -> None:
    """Look until this is seen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    seen: T | None = None
    while seen != wanted:
        assert time.monotonic() < deadline, f"{seen!r} is seen and not {wanted!r}"
        time.sleep(0.01)
        try:
            seen = look()
        except OSError as error:  # a file that is not there any more, although its name is known still
            if error.errno != errno.ESTALE:
                raise


def prove_watching(running: Daemon) -> None:
    """Wait until a daemon that believes for long, also that there is no such name, hears of changes."""
    probe = running.mountpoint / "probe"

    def listens() -> bool:
        (running.source / "probe").unlink(missing_ok=True)
        (running.source / "probe").touch()
        time.sleep(0.05)
        return probe.exists()

    assert not probe.exists()  # which the kernel believes from now on
    until(listens, True)
    (running.source / "probe").unlink()
    until(probe.exists, False)
