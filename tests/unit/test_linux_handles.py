"""Handles are taken in several threads at once: the supervisor opens the sources of all shares side by side."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.linux import handles

_THREADS = 4
_TIMES = 5_000


@pytest.fixture
def eager() -> Iterator[None]:
    """Have threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager")
def test_a_thread_gets_the_handle_it_asked_for(tmp_path: Path) -> None:
    def differing(number: int) -> int:
        directory = tmp_path / str(number)
        directory.mkdir()
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            handle = handles.name_to_handle(descriptor)
            return sum(handles.name_to_handle(descriptor) != handle for _ in range(_TIMES))
        finally:
            os.close(descriptor)

    with ThreadPoolExecutor(_THREADS) as threads:
        assert list(threads.map(differing, range(_THREADS))) == [0] * _THREADS
