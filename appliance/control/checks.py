"""What the API and the supervisor say to each other about handles, events and numbers; see control.messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.model.frozen import Frozen
from appliance.model.handles import CheckWanted, DecodedHandle, HandleCheck, HandleCheckReport, HandleHealth
from appliance.model.health import HealthReport
from appliance.model.numbers import Capacity, ClientNumbers, DataNumbers, ServerNumbers
from appliance.state.events import Event, EventFilter


class StartCheck(Frozen):
    """Begin a check of a share's handles."""

    op: Literal["start-check"] = "start-check"
    name: str
    wanted: CheckWanted


class ListChecks(Frozen):
    """Ask for a share's checks."""

    op: Literal["list-checks"] = "list-checks"
    name: str


class GetCheck(Frozen):
    """Ask for one check with its findings."""

    op: Literal["get-check"] = "get-check"
    name: str
    id: int


class CancelCheck(Frozen):
    """End a check that runs."""

    op: Literal["cancel-check"] = "cancel-check"
    name: str
    id: int


class DecodeHandle(Frozen):
    """Ask what a handle names."""

    op: Literal["decode-handle"] = "decode-handle"
    hex: str


class ListEvents(Frozen):
    """Ask for events."""

    op: Literal["list-events"] = "list-events"
    filter: EventFilter = EventFilter()
    limit: int = 100


class WaitEvents(Frozen):
    """Ask for events after one, the oldest first, and wait for so many seconds at most if there is none yet.

    After None there are none: the answer tells from which number to go on.
    """

    op: Literal["wait-events"] = "wait-events"
    after: int | None
    filter: EventFilter = EventFilter()
    seconds: float = 0.0
    limit: int = 100


class GetHealth(Frozen):
    """Ask what is not as it should be."""

    op: Literal["get-health"] = "get-health"


class HealthReply(Frozen):
    """What is not as it should be."""

    kind: Literal["health"] = "health"
    report: HealthReport


class GetNumbers(Frozen):
    """Ask for what is counted and measured."""

    op: Literal["get-numbers"] = "get-numbers"


class ShareNumbers(Frozen):
    """What is counted and measured of one share. `last` are its last finished checks, by mode."""

    share: str
    health: HandleHealth
    last: tuple[HandleCheck, ...]
    drifts: int
    """Handles that drifted in checks since the supervisor started."""
    checks: int
    """Checks finished since the supervisor started."""
    served: bool = False
    data: DataNumbers | None = None
    capacity: Capacity | None = None


class CheckReply(Frozen):
    """A check that was begun."""

    kind: Literal["check"] = "check"
    check: HandleCheck


class CheckReportReply(Frozen):
    """One check with its findings."""

    kind: Literal["check-report"] = "check-report"
    report: HandleCheckReport


class ChecksReply(Frozen):
    """A share's checks."""

    kind: Literal["checks"] = "checks"
    checks: tuple[HandleCheck, ...]


class DecodedReply(Frozen):
    """What a handle names."""

    kind: Literal["decoded"] = "decoded"
    decoded: DecodedHandle


class EventsReply(Frozen):
    """Events, the newest first."""

    kind: Literal["events"] = "events"
    events: tuple[Event, ...]
    last: int = 0
    """The number to go on from."""


class NumbersReply(Frozen):
    """Of every share."""

    kind: Literal["numbers"] = "numbers"
    shares: tuple[ShareNumbers, ...]
    bounds: tuple[float, ...] = ()
    """The upper bounds of all buckets of times but the last, in seconds."""
    server: ServerNumbers | None = None
    clients: ClientNumbers | None = None
    restarts: dict[str, int] = Field(default_factory=dict)


CheckRequest = Annotated[
    StartCheck | ListChecks | GetCheck | CancelCheck | DecodeHandle | ListEvents | WaitEvents | GetHealth | GetNumbers,
    Field(discriminator="op"),
]
CheckAnswer = Annotated[
    CheckReply | CheckReportReply | ChecksReply | DecodedReply | EventsReply | HealthReply | NumbersReply,
    Field(discriminator="kind"),
]
