"""Where the API's questions come in: each goes to the part that answers its kind."""

from __future__ import annotations

from appliance.control.access import Authenticate, ListTokens, MakeToken, RevokeToken
from appliance.control.checks import (
    CancelCheck,
    DecodedReply,
    DecodeHandle,
    EventsReply,
    GetCheck,
    GetHealth,
    GetNumbers,
    HealthReply,
    ListChecks,
    ListEvents,
    StartCheck,
    WaitEvents,
)
from appliance.control.clients import ExpireClient, GetClient, ListClients
from appliance.control.config import ApplyConfig, GetConfig, GetConfigFile
from appliance.control.messages import Done, Reply, Request
from appliance.control.server_settings import GetServer, UpdateServer
from appliance.errors import StateError
from appliance.logs import facts
from appliance.state.events import Events
from appliance.supervisor.access import Access
from appliance.supervisor.audit import event_of
from appliance.supervisor.configuration import Configuration
from appliance.supervisor.decoding import Decoding
from appliance.supervisor.event_feed import EventFeed
from appliance.supervisor.handle_checks import HandleChecks
from appliance.supervisor.health import Health
from appliance.supervisor.numbers import Numbers
from appliance.supervisor.requests import Requests
from appliance.supervisor.server_requests import ServerRequests
from appliance.supervisor.sessions import Sessions
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)


class Desk:
    """Answers every kind of request."""

    def __init__(
        self, shares: Requests, configuration: Configuration, server: ServerRequests, checks: HandleChecks,
        decoding: Decoding, access: Access, sessions: Sessions, numbers: Numbers, health: Health, events: Events,
    ) -> None:  # fmt: skip
        self._shares = shares
        self._configuration = configuration
        self._server = server
        self._checks = checks
        self._decoding = decoding
        self._access = access
        self._sessions = sessions
        self._numbers = numbers
        self._health = health
        self._events = events
        self._feed = EventFeed(events)

    async def answer(self, request: Request, by: str = "") -> Reply:
        """Do what is asked and return the reply; raises HoldfastError, and then nothing has changed.

        `by` is who asks, for the event that is recorded of a change.
        """
        reply = await self._answer(request)
        if (event := event_of(request, by)) is not None:
            try:
                await in_thread(lambda: self._events.record(event))
            except StateError as error:  # what was asked for is done all the same
                _LOG.error("an event cannot be recorded", event=event.kind, by=by, reason=error.message)
        return reply

    async def _answer(self, request: Request) -> Reply:
        match request:
            case StartCheck():
                return await self._checks.start(request)
            case ListChecks():
                return await self._checks.checks_of(request)
            case GetCheck():
                return await self._checks.get(request)
            case CancelCheck():
                await self._checks.cancel(request)
                return Done()
            case DecodeHandle(hex=text):
                return DecodedReply(decoded=await self._decoding.decode(text))
            case ListEvents(filter=wanted, limit=limit):
                found = await in_thread(lambda: self._events.newest(wanted, limit))
                return EventsReply(events=tuple(found))
            case WaitEvents():
                return await self._feed.answer(request)
            case GetHealth():
                return HealthReply(report=await self._health.report())
            case GetNumbers():
                return await self._numbers.reply()
            case Authenticate() | MakeToken() | ListTokens() | RevokeToken():
                return await self._access.answer(request)
            case ListClients() | GetClient() | ExpireClient():
                return await self._sessions.answer(request)
            case GetServer() | UpdateServer():
                return await self._server.answer(request)
            case GetConfig() | GetConfigFile() | ApplyConfig():
                return await self._configuration.answer(request)
            case _:
                return await self._shares.answer(request)
