"""What several modules of this tier begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.fuse.scoreboard import Scoreboard


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    """An empty scoreboard."""
    made = Scoreboard.create()
    yield made
    made.close()
