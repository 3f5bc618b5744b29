"""The crew's own bookkeeping, with workers that do nothing."""

import os
import selectors
from typing import Never

import pytest

from appliance.fuse.crew import Crew
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.scoreboard import Scoreboard, Slot, Word


def test_a_worker_is_on_the_scoreboard_before_it_does_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool process that is killed just after a fork says nothing of it any more."""
    fork = os.fork

    def fork_and_be_late() -> int:
        if pid := fork():
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    def serve(slot: Slot) -> Never:
        os._exit(0 if slot.words[Word.PID] == os.getpid() else 1)

    monkeypatch.setattr(os, "fork", fork_and_be_late)
    with selectors.DefaultSelector() as selector:
        crew = Crew(PoolOptions(workers=1), Scoreboard.create(), selector, serve)
        crew.fill()
        (worker,) = crew.workers
        assert crew.reap(worker.pid)[1] == 0
