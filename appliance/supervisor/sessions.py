"""NFS clients: who is there, what they hold on which share by which path, and ending one's session."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from appliance.checks.messages import Named, NameOrder
from appliance.control.clients import ClientReply, ClientRequest, ClientsReply, ExpireClient, GetClient, ListClients
from appliance.control.messages import Done, Reply
from appliance.errors import RequestError
from appliance.logs import facts
from appliance.model.handles import printable
from appliance.model.nfs_clients import ClientState, Held, MountRecord, NfsClient, NfsClientReport
from appliance.nfs.clients import Info, State
from appliance.nfs.server import NfsServer
from appliance.settings import Settings
from appliance.state.store import Store
from appliance.supervisor import checker, mountinfo
from appliance.supervisor.checker import CheckError
from appliance.supervisor.executor import Executor
from appliance.supervisor.share_access import access
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)
_MOST_STATES = 1000
_SEARCH_SECONDS = 5.0
_PATIENCE_SECONDS = 20.0
_COUNTED = {"open": "opens", "lock": "locks", "delegation": "delegations", "layout": "layouts"}

Device = tuple[int, int]
Paths = dict[tuple[str, int], bytes]


class Sessions:
    """Answers about NFS clients."""

    def __init__(self, settings: Settings, store: Store, executor: Executor, server: NfsServer) -> None:
        self._settings = settings
        self._store = store
        self._executor = executor
        self._server = server

    async def answer(self, request: ClientRequest) -> Reply:
        """Do what is asked and return the reply; raises HoldfastError."""
        match request:
            case ListClients():
                return await self.clients(request)
            case GetClient(number=number):
                return ClientReply(report=await self._report(number))
            case ExpireClient(number=number):
                await self._known(number)
                await self._server.expire(number)
                _LOG.info("a client's session was ended", client=number)
                return Done()

    async def clients(self, request: ListClients) -> ClientsReply:
        """Return clients and mounts; raises CommandError, and RequestError `share-not-found`."""
        share = request.share
        if share is not None:
            await in_thread(lambda: self._store.share(share))
        devices = await self._devices()
        clients = [
            _client(number, info, states, devices) for number, (info, states) in (await self._server.clients()).items()
        ]
        places = self._places()
        mounts = [
            MountRecord(address=printable(address.encode(errors="surrogateescape")), path=path, share=places.get(path))
            for address, path in await in_thread(self._server.mounts)
        ]
        return ClientsReply(
            clients=tuple(one for one in clients if share is None or share in {held.share for held in one.held}),
            mounts=tuple(one for one in mounts if share is None or one.share == share),
        )

    async def _report(self, number: int) -> NfsClientReport:
        info, states = await self._known(number)
        devices = await self._devices()
        shown = states[:_MOST_STATES]
        nodes: dict[str, list[int]] = {}
        for state in shown:
            if state.node is not None and (share := devices.get(state.device)) is not None:
                nodes.setdefault(share, []).append(state.node)
        answers = await asyncio.gather(*(self._paths(share, wanted) for share, wanted in nodes.items()))
        paths = {key: path for found, _ in answers for key, path in found.items()}
        return NfsClientReport(
            **dict(_client(number, info, states, devices)),
            states=tuple(_state(state, devices.get(state.device), paths) for state in shown),
            paths_complete=all(complete for _, complete in answers),
        )

    async def _known(self, number: int) -> tuple[Info, list[State]]:
        found = (await self._server.clients()).get(number)
        if found is None:
            raise RequestError(
                f"there is no NFSv4 client number {number}", "GET /v1/clients lists them", code="client-not-found"
            )
        return found

    async def _devices(self) -> dict[Device | None, str]:
        """Return the served shares by the numbers of their filesystems."""
        root = self._settings.exports_dir
        mounts = await in_thread(lambda: mountinfo.below(root))
        places = self._places()
        return {mount.number: places[str(mount.path)] for mount in mounts if str(mount.path) in places}

    def _places(self) -> dict[str, str]:
        """Return the served shares by the paths of their mounts."""
        root = self._settings.exports_dir
        return {str(share.wanted.mountpoint(root)): name for name, share in self._executor.served.items()}

    async def _paths(self, share: str, nodes: list[int]) -> tuple[Paths, bool]:
        """Ask a checker for the paths of nodes; a share that does not answer has none."""
        try:
            order = NameOrder(
                share=access(self._settings, self._executor, share), nodes=tuple(set(nodes)), seconds=_SEARCH_SECONDS
            )
            async for answer in checker.ask(order, _PATIENCE_SECONDS):
                if isinstance(answer, Named):
                    return {(share, node): path for node, path in answer.paths.items()}, answer.complete
        except (RequestError, CheckError) as error:
            _LOG.warning("paths cannot be told", share=share, reason=error.message)
        return {}, False


def _client(number: int, info: Info, states: Iterable[State], devices: dict[Device | None, str]) -> NfsClient:
    counts = Counter((devices.get(state.device), _COUNTED[state.kind]) for state in states)
    shares = sorted({share for share, _ in counts}, key=lambda share: share or "")
    held = [
        Held.model_validate({"share": share, **{kind: counts[share, kind] for kind in _COUNTED.values()}})
        for share in shares
    ]
    return NfsClient(**vars(info), number=number, held=tuple(held))


def _state(state: State, share: str | None, paths: Paths) -> ClientState:
    path = None if share is None or state.node is None else paths.get((share, state.node))
    return ClientState.model_validate(
        {
            "kind": state.kind,
            "access": state.access,
            "deny": state.deny,
            "share": share,
            "node_id": None if state.node is None else f"{state.node:#x}",
            "path": None if path is None else printable(path),
            "last_name": printable(state.filename.encode(errors="surrogateescape")),
            "revoked": state.revoked,
        }
    )
