"""Telling drift from work: what has to be done although nothing new is wanted, somebody else has undone."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.logs import facts
from appliance.state.events import Events, NewEvent
from appliance.supervisor.plan import Action, ApplyExports, Desired, Open, Release, Resize, SetThreads, Unmount
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)


class Drift:
    """Remembers what was reached, and records what has to be repaired."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._reached: Desired | None = None

    def reached(self, wanted: Desired | None) -> None:
        """This is in force now; None if something is not, for a reason that is known."""
        self._reached = wanted

    async def note(self, wanted: Desired, actions: Sequence[Action]) -> None:
        """Record an event for each thing that has to be done to get to what was reached before."""
        if self._reached != wanted:
            return
        for event in drifted(actions):
            _LOG.warning("somebody has changed what is ours", share=event.share or "-", found=event.message)
            await in_thread(lambda event=event: self._events.add(event.kind, event.message, event.share))  # type: ignore[misc]


def drifted(actions: Sequence[Action]) -> list[NewEvent]:
    """Return an event for each thing that was found; mounting anew brings its export with it."""
    found: list[tuple[str, str | None]] = []
    mounted = False
    for action in actions:
        match action:
            case Open(wanted):
                mounted = True
                found.append(("its mount was gone, and is made anew", wanted.name))
            case Unmount(path):
                found.append((f"something was mounted at {path}, and is unmounted", None))
            case SetThreads(threads):
                found.append((f"the NFS server had another number of threads, and gets {threads} again", None))
            case ApplyExports() if not mounted:
                found.append(("exports were not as wanted, and are put in force again", None))
            case ApplyExports() | Release() | Resize():
                pass
    return [NewEvent("drift-repaired", message, share) for message, share in found]
