"""A share whose source is gone, and what becomes of it until the source is back."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import SourceError
from appliance.supervisor.plan import Wanted


@dataclass(frozen=True)
class Missing:
    """What was served, and why it is not to be now.

    `broken`: what is mounted does not work any more, or is not what is at the source's path now. Then it is let go of,
    since a filesystem that is in use cannot be mounted anew; and what it had not written may be lost.
    """

    wanted: Wanted
    error: SourceError
    broken: bool
