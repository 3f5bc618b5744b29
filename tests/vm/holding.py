"""What a client held on the server whenever a script has looked (inside/reclaim.sh)."""

from __future__ import annotations

import re

_LOOK = re.compile(r"^held: (\d+) open, (\d+) locked, (\d+) of (\d+) delegated$", re.MULTILINE)


def check_held(said: str, looks: int) -> None:
    """Assert that it held an open file, its lock, and files delegated to it, at so many looks; the first is before."""
    found = [tuple(map(int, look)) for look in _LOOK.findall(said)]
    assert len(found) == looks, said
    for opened, locked, delegated, at_first in found:
        assert opened >= 1, said
        assert locked == 1, said
        assert at_first >= 1, said
        assert delegated >= 1, said
