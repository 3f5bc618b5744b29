"""Codecs with faults that have been seen in the field, for showing that a check catches them.

They are put into a daemon's processes by Python's own `sitecustomize`, so that nothing of the kind is in the appliance.
"""

from __future__ import annotations

import os
from pathlib import Path

FAULT = "HOLDFAST_TEST_FAULT"
_REPOSITORY = Path(__file__).parents[3]


def environment(fault: str) -> dict[str, str]:
    """Return the variables that give every Python process the codec of this name."""
    return {FAULT: fault, "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent / "site"), str(_REPOSITORY)))}
