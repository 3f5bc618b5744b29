"""Gathering what is counted and measured. Nothing here touches a share or waits for one."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from appliance.control.checks import NumbersReply, ShareNumbers
from appliance.control.clients import ListClients
from appliance.errors import CommandError
from appliance.fuse.meter import BOUNDS
from appliance.fuse.operation_numbers import OPERATIONS
from appliance.logs import facts
from appliance.model.numbers import ClientNumbers, DataNumbers, OperationNumbers, ServerNumbers
from appliance.nfs.server import NfsServer
from appliance.supervisor.executor import Executor
from appliance.supervisor.handle_checks import HandleChecks
from appliance.supervisor.served import ServedShare
from appliance.supervisor.sessions import Sessions

_LOG = facts(__name__)


class Numbers:
    """Answers GetNumbers."""

    def __init__(
        self,
        executor: Executor,
        checks: HandleChecks,
        sessions: Sessions,
        server: NfsServer,
        restarts: Callable[[], Mapping[str, int]],
    ) -> None:
        """`restarts` tells how often each child of the supervisor had to be started again."""
        self._executor = executor
        self._checks = checks
        self._sessions = sessions
        self._server = server
        self._restarts = restarts

    async def reply(self) -> NumbersReply:
        """Return all numbers; those of the NFS server are left out if it cannot be asked."""
        shares, server, clients = await asyncio.gather(self._shares(), self._of_server(), self._clients())
        return NumbersReply(
            shares=tuple(shares),
            bounds=BOUNDS,
            server=server,
            clients=clients,
            restarts=dict(self._restarts()),
        )

    async def _shares(self) -> list[ShareNumbers]:
        found = []
        served = self._executor.served
        await asyncio.gather(*(share.refresh() for share in list(served.values())))
        for numbers in await self._checks.outcomes.numbers():
            share = served.get(numbers.share)
            update = {
                "served": share is not None and share.serving,
                "data": data_numbers(share) if share else None,
                "capacity": self._executor.capacity.get(numbers.share) if share else None,
            }
            found.append(numbers.model_copy(update=update))
        return found

    async def _of_server(self) -> ServerNumbers | None:
        try:
            return await self._server.numbers()
        except (CommandError, OSError) as error:
            _LOG.warning("the NFS server's counters cannot be read", reason=error)
            return None

    async def _clients(self) -> ClientNumbers | None:
        try:
            clients = (await self._sessions.clients(ListClients())).clients
        except CommandError:
            return None  # told above, of the same files
        held: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for one in clients:
            for part in one.held:
                counts = {"opens": part.opens, "locks": part.locks, "delegations": part.delegations}
                held[part.share or ""].update(counts)
        by_status = Counter(one.status or "unknown" for one in clients)
        return ClientNumbers(by_status=dict(by_status), held={share: dict(counts) for share, counts in held.items()})


def data_numbers(share: ServedShare) -> DataNumbers:
    """Return what is counted of a share's data path, as of the last request for status."""
    totals, figures = share.totals(), share.figures()
    path = figures.data_path
    return DataNumbers(
        operations=tuple(
            OperationNumbers(
                operation=OPERATIONS[one.operation], errors=one.errors, seconds=one.seconds, buckets=one.buckets
            )
            for one in totals.operations
        ),
        cache_hits=totals.cache_hits,
        cache_misses=totals.cache_misses,
        workers=figures.workers,
        worker_deaths=figures.deaths,
        recoveries=figures.recoveries,
        refused_requests=figures.refused,
        resends=figures.resends,
        descriptors=figures.descriptors,
        kept_inodes=figures.kept_inodes,
        passthrough=path is not None and path.passthrough,
        open_files=path.open_files if path else None,
        backing_ids=path.backing_ids if path and path.passthrough else None,
    )
