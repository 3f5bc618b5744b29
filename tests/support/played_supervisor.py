"""A supervisor that is played: it keeps shares in memory and speaks the real protocol from a thread of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path
from uuid import UUID

from appliance.checks.forms import parse_hex
from appliance.checks.outcomes import Drift, Meaning, Outcome
from appliance.control.access import (
    AccessRequest,
    Authenticate,
    ListTokens,
    MakeToken,
    NewTokenReply,
    PrincipalReply,
    RevokeToken,
    TokensReply,
)
from appliance.control.checks import (
    CancelCheck,
    CheckReply,
    CheckReportReply,
    ChecksReply,
    DecodedReply,
    DecodeHandle,
    EventsReply,
    GetCheck,
    GetHealth,
    GetNumbers,
    HealthReply,
    ListChecks,
    ListEvents,
    NumbersReply,
    ShareNumbers,
    StartCheck,
    WaitEvents,
)
from appliance.control.clients import ClientReply, ClientsReply, ExpireClient, GetClient, ListClients
from appliance.control.config import (
    ApplyConfig,
    ConfigFileReply,
    ConfigReply,
    FileStatus,
    GetConfig,
    GetConfigFile,
    PreviewReply,
)
from appliance.control.messages import (
    AcceptSource,
    CreateShare,
    DeleteShare,
    Done,
    GetReadiness,
    GetShare,
    ListShares,
    NfsPaths,
    Readiness,
    ReadinessReply,
    Reply,
    Request,
    RotateKey,
    ShareReply,
    SharesReply,
    ShareState,
    ShareView,
    UpdateShare,
)
from appliance.control.server_settings import GetServer, ServerReply, ServerView, UpdateServer
from appliance.errors import RequestError
from appliance.model import Config, Share
from appliance.model.handles import DecodedHandle, HandleCheck, HandleCheckReport, HandleFinding, HandleHealth
from appliance.model.health import Finding, HealthReport
from appliance.model.nfs_clients import ClientState, Held, NfsClient, NfsClientReport
from appliance.model.previews import Preview, ShareChange
from appliance.model.server import ServerSettings
from appliance.settings import Settings
from appliance.state.events import Event, EventFilter
from appliance.state.server_settings import effective, told
from appliance.state.tokens import PREFIX, NewToken, Principal, Role, Token, digest
from appliance.supervisor.changes import check_match
from appliance.supervisor.control_server import ControlServer
from appliance.supervisor.server_requests import revision as server_revision

CHECK = HandleCheck(
    id=1, share="a", mode="passive", trigger="request", state="done", started=1.0, finished=2.0, done=3, total=3,
    seconds=0.5, counts={Outcome.SAME: 2, Outcome.DRIFT: 1},
)  # fmt: skip
FINDING = HandleFinding(
    outcome=Outcome.DRIFT, drift=Drift.NODE_REUSED, reason="opens inode 8", path="d/f", path_now=None, inode=7,
    type=0o100000, handle="00", native="01", taken=1.0,
)  # fmt: skip
PREVIEW = Preview(
    shares=(ShareChange(name="a", change="change", fields=("sync",)),),
    steps=("export",),
    exports_removed=("/exports/a 10.0.0.0/8(ro,sync)",),
    exports_added=("/exports/a 10.0.0.0/8(ro,async)",),
)
FILE = FileStatus(path="/etc/holdfast/shares.yaml", state="absent", owns="listed", shares=(), since=1.0)

CLIENT = NfsClient(
    number=1, address="192.0.2.7:862", name="Linux NFSv4.2 desk", minor_version=2, status="confirmed",
    seconds_since_renew=3, callback_state="UP", callback_address="192.0.2.7:0", implementation="Linux",
    held=(Held(share="a", opens=1, locks=0, delegations=0, layouts=0),),
)  # fmt: skip
OPEN = ClientState(
    kind="open", access="rw", deny="--", share="a", node_id="0x7", path="d/f", last_name="d/f", revoked=False
)


class Supervisor:
    """Answers every request as the real one would if all went well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shares: dict[str, Share] = {}
        self.ready = True
        self.settings = Settings()
        self.nfs = ServerSettings()
        self.requests: list[Request] = []
        self.asked_by: list[str] = []
        self.stream: list[Event] = []
        self.tokens: dict[str, tuple[str, Role]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Supervisor:
        self._thread.start()
        self._server = ControlServer(self.path, {os.getuid()}, self.answer)
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def answer(self, request: Request, by: str = "") -> Reply:
        self.requests.append(request)
        self.asked_by.append(by)
        match request:
            case ListShares():
                return SharesReply(shares=tuple(map(view, self.shares.values())))
            case GetShare(name=name):
                return ShareReply(share=view(self._find(name)))
            case CreateShare(dry_run=True) | UpdateShare(dry_run=True) | DeleteShare(dry_run=True):
                return self.rehearse(request)
            case CreateShare(share=share):
                if share.name in self.shares:
                    raise RequestError("it is there", "other name", code="share-exists", field="name")
                self.shares[share.name] = share
                return ShareReply(share=view(share))
            case UpdateShare(name=name, changes=changes, match=match):
                check_match(match, revision(self._find(name)), name)
                self.shares[name] = changes.apply(self._find(name))
                return ShareReply(share=view(self.shares[name]))
            case DeleteShare(name=name, match=match):
                check_match(match, revision(self._find(name)), name)
                del self.shares[name]
                return Done()
            case RotateKey(name=name, match=match) | AcceptSource(name=name, match=match):
                check_match(match, revision(self._find(name)), name)
                return ShareReply(share=view(self._find(name)))
            case GetServer():
                return self.server()
            case UpdateServer(changes=changes, match=match, dry_run=dry_run):
                check_match(match, server_revision(self.nfs), "the NFS server")
                wanted = changes.apply(self.nfs)
                effective(self.settings, wanted)
                there, self.nfs = self.nfs, wanted
                reply = self.server()
                self.nfs = there if dry_run else wanted
                return reply
            case GetConfig():
                return ConfigReply(config=Config(shares=tuple(self.shares.values())), revision=self.revision)
            case GetConfigFile():
                return ConfigFileReply(status=FILE)
            case ApplyConfig(config=config, match=match, dry_run=dry_run):
                check_match(match, self.revision, "the configuration")
                if dry_run:
                    return PreviewReply(preview=PREVIEW)
                self.shares = {share.name: share for share in config.shares}
                return Done()
            case GetReadiness():
                readiness = Readiness(
                    ready=self.ready, nfs=True, shares_enabled=1, shares_ready=1, problems=("secret reason",)
                )
                return ReadinessReply(readiness=readiness)
            case WaitEvents():
                return await self.wait(request)
            case _:
                return self.checks(request)

    def server(self) -> Reply:
        told_now = told(effective(self.settings, self.nfs))
        more = {"set": self.nfs, "started_anew_for": (), "revision": server_revision(self.nfs)}
        return ServerReply(server=ServerView.model_validate({**told_now, **more}))

    @property
    def revision(self) -> str:
        return "".join(map(revision, self.shares.values())) or "empty"

    def rehearse(self, request: CreateShare | UpdateShare | DeleteShare) -> Reply:
        if isinstance(request, CreateShare):
            if request.share.name in self.shares:
                raise RequestError("it is there", "other name", code="share-exists", field="name")
        else:
            check_match(request.match, revision(self._find(request.name)), request.name)
            if isinstance(request, UpdateShare):
                request.changes.apply(self._find(request.name))
        return PreviewReply(preview=PREVIEW)

    async def wait(self, request: WaitEvents) -> Reply:
        """Wait for less long than the real one, so that a test's end is near."""
        last = self.stream[-1].id if self.stream else 0
        if request.after is None:
            return EventsReply(events=(), last=last)
        found = tuple(event for event in self.stream if event.id > request.after)
        if not found:
            await asyncio.sleep(min(request.seconds, 0.05))
        return EventsReply(events=found, last=last)

    def access(self, request: AccessRequest) -> Reply:
        match request:
            case Authenticate(digest=shown):
                mine = {digest(text): (name, role) for name, (text, role) in self.tokens.items()}
                if shown not in mine:
                    return PrincipalReply(principal=None)
                name, role = mine[shown]
                return PrincipalReply(principal=Principal(name=f"token {name}", role=role))
            case MakeToken(wanted=wanted):
                if wanted.name in self.tokens:
                    raise RequestError("it is there", code="token-exists", field="name")
                made = NewToken(name=wanted.name, role=wanted.role, created=1.0, token=f"{PREFIX}{wanted.name}")
                self.tokens[made.name] = made.token, made.role
                return NewTokenReply(made=made)
            case ListTokens():
                listed = tuple(Token(name=name, role=role, created=1.0) for name, (_, role) in self.tokens.items())
                return TokensReply(tokens=listed)
            case RevokeToken(name=name):
                if self.tokens.pop(name, None) is None:
                    raise RequestError("no such token", code="token-not-found")
                return Done()

    def checks(self, request: Request) -> Reply:
        match request:
            case Authenticate() | MakeToken() | ListTokens() | RevokeToken():
                return self.access(request)
            case ListClients(share=share):
                if share is not None:
                    self._find(share)
                return ClientsReply(clients=(CLIENT,), mounts=())
            case GetClient(number=1):
                return ClientReply(report=NfsClientReport(**dict(CLIENT), states=(OPEN,), paths_complete=True))
            case ExpireClient(number=1):
                return Done()
            case GetClient() | ExpireClient():
                raise RequestError("no such client", code="client-not-found")
            case StartCheck(name=name, wanted=wanted):
                self._find(name)
                return CheckReply(check=CHECK.model_copy(update={"mode": wanted.mode}))
            case ListChecks(name=name):
                self._find(name)
                return ChecksReply(checks=(CHECK,))
            case GetCheck(id=1):
                return CheckReportReply(report=HandleCheckReport(**dict(CHECK), findings=(FINDING,)))
            case CancelCheck(id=1):
                return Done()
            case GetCheck() | CancelCheck():
                raise RequestError("no such check", code="check-not-found")
            case DecodeHandle(hex=text):
                parse_hex(text)
                return DecodedReply(decoded=DecodedHandle(form="nfs", verdict=Meaning.FREED, reason="gone"))
            case ListEvents(filter=EventFilter(kind=kind)):
                event = Event(id=1, time=2.0, kind="handle-drift", share="a", message="m", data={})
                return EventsReply(events=(event,) if kind in (None, event.kind) else ())
            case GetHealth():
                finding = Finding(
                    code="share-failed", severity="critical", share="a", message="m", hint="h", since=1.0
                )
                return HealthReply(report=HealthReport(status="critical", findings=(finding,)))
            case GetNumbers():
                health = HandleHealth(status="drift", samples=3, canary_seconds=0.01)
                return NumbersReply(shares=(ShareNumbers(share="a", health=health, last=(CHECK,), drifts=1, checks=2),))
            case _:
                raise AssertionError(request)

    def _find(self, name: str) -> Share:
        if name not in self.shares:
            raise RequestError(f"no {name}", "look", code="share-not-found")
        return self.shares[name]


def revision(share: Share) -> str:
    return hashlib.blake2b(share.model_dump_json().encode(), digest_size=8).hexdigest()


def view(share: Share) -> ShareView:
    return ShareView(
        **{name: getattr(share, name) for name in type(share).model_fields},
        owner="api",
        revision=revision(share),
        fsid=UUID(int=7),
        nfs_paths=NfsPaths(v4=f"/{share.name}", v3=None),
        state=ShareState(status="ok"),
    )
