"""The supervisor: composes all of it, in the order of its dependencies, and takes it down in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from appliance.check_store import CheckStore
from appliance.children import Answers, ChildSpec
from appliance.database import Database
from appliance.events import Events
from appliance.logs import facts
from appliance.server_settings import effective
from appliance.settings import Settings
from appliance.store import Store
from appliance.supervisor import kernel_mounts, preconditions, state_dir
from appliance.supervisor.access import Access
from appliance.supervisor.canary import Canaries
from appliance.supervisor.changes import Changes
from appliance.supervisor.check_modes import CheckModes
from appliance.supervisor.child import python
from appliance.supervisor.configuration import Configuration
from appliance.supervisor.control_server import ControlServer
from appliance.supervisor.decoding import Decoding
from appliance.supervisor.desk import Desk
from appliance.supervisor.drift import Drift
from appliance.supervisor.executor import Executor
from appliance.supervisor.first import STOP_SIGNALS
from appliance.supervisor.first_orders import FirstProcess
from appliance.supervisor.fuse_path import FuseDataPath
from appliance.supervisor.guard import Guard
from appliance.supervisor.handle_checks import HandleChecks
from appliance.supervisor.health import Health
from appliance.supervisor.nfs_side import NfsSide
from appliance.supervisor.numbers import Numbers
from appliance.supervisor.reconciler import Reconciler
from appliance.supervisor.requests import Requests
from appliance.supervisor.server_requests import ServerRequests
from appliance.supervisor.sessions import Sessions
from appliance.supervisor.shares_file import SharesFile
from appliance.supervisor.source_watch import SourceWatch
from appliance.supervisor.threads import in_thread
from appliance.tokens import Tokens

_LOG = facts(__name__)
_API_LISTENER = "api"


async def supervise(settings: Settings, first: FirstProcess) -> None:
    """Run the appliance until one of STOP_SIGNALS. Raises HoldfastError if it cannot be started."""
    serving = asyncio.create_task(serve(settings, first), name="appliance")
    loop = asyncio.get_running_loop()

    def stop(reason: str) -> None:
        _LOG.info("stopping", reason=reason)
        loop.remove_reader(first)
        for each in STOP_SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_IGN)  # the order to stop has been heard; another one changes nothing
        serving.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number.name)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # which become_first had blocked
    loop.add_reader(first, stop, "the first process has ended, and knfsd with it")
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    _LOG.info("stopped")


async def serve(settings: Settings, first: FirstProcess) -> None:
    """Run the appliance until it is cancelled; whatever was started by then is stopped."""
    preconditions.check(settings, port_is_free=not first.again)
    api_user = preconditions.check_user(settings.api_user)
    state_dir.prepare(settings, api_user.pw_gid)
    async with AsyncExitStack() as stack:
        store = Store(settings.database)
        stack.callback(store.close)
        environment, settings = settings, effective(settings, store.server())
        listener = _api_listener(settings, first)
        stack.callback(listener.close)
        local = _local_listener(settings.api_socket, api_user.pw_gid)
        stack.callback(local.close)

        await in_thread(lambda: kernel_mounts.mount_exports(settings.exports_dir))
        stack.push_async_callback(in_thread, lambda: kernel_mounts.unmount_exports(settings.exports_dir))
        nfs_side = NfsSide(settings, first)
        stack.push_async_callback(nfs_side.stop)
        await nfs_side.start()

        held = {name: held for name, held in first.held.items() if name != _API_LISTENER}
        data_path = FuseDataPath(first, held, settings.source_roots)
        executor = Executor(settings, nfs_side.server, data_path, lost=lambda: reconciler.wake())
        executor.adopt()
        database = Database(settings.database)
        stack.callback(database.close)
        results, events = CheckStore(database), Events(database)
        reconciler = Reconciler(settings, store, executor, Drift(events))
        stack.push_async_callback(reconciler.shut_down)
        changes = Changes(settings, store, executor, reconciler, data_path)
        requests = Requests(settings, store, executor, changes, nfs_side)
        if store.restored:
            events.add("state-restored", f"the state database {store.restored}; it was restored from its copy")
        file = SharesFile(settings, changes, events)
        modes = CheckModes(settings, executor, reconciler, nfs_side.server)
        checks = HandleChecks(settings, store, results, events, executor, modes)
        canaries = Canaries(settings, store, results, events, executor)

        async def let_go(share: str) -> None:
            await canaries.let_go(share)
            await checks.let_go(share)  # in the caller's task: a check that has a share mounted anew is not ended by it

        executor.letting_go = let_go
        sessions = Sessions(settings, store, executor, nfs_side.server)
        health = Health(store, executor, nfs_side, events)
        api = Guard(api_child(settings, listener, local), settings.ready_timeout)
        numbers = Numbers(
            executor, checks, sessions, nfs_side.server, lambda: {**nfs_side.restarts(), api.spec.name: api.restarts}
        )
        decoding, access = Decoding(settings, store, executor), Access(Tokens(database))
        configuration = Configuration(changes, file)
        server = ServerRequests(environment, settings, store, changes, reconciler)
        desk = Desk(requests, configuration, server, checks, decoding, access, sessions, numbers, health, events)
        control = ControlServer(settings.control_socket, {0, os.getuid(), api_user.pw_uid}, desk.answer)
        stack.push_async_callback(control.stop)
        await control.start(api_user.pw_gid)

        stack.push_async_callback(api.stop)
        # The API has no part in the shares' coming up, nor they in its.
        starting = _background(stack, api.start(patient=first.again))
        await file.look()
        if first.again:
            await reconciler.attempt()  # what is served goes on, whatever fails beside it
        else:
            await reconciler.reconcile()
        await starting
        for problem in await nfs_side.problems():
            _LOG.error("the NFS side is not as it should be", problem=problem)
        _LOG.info("serving", shares=len(executor.served), failed=len(executor.faults))
        _endless(stack, checks.run(), "handle checks")
        _endless(stack, canaries.run(), "canaries")
        _endless(stack, SourceWatch(executor, events, settings.source_roots, reconciler.wake).run(), "watch of sources")
        _endless(stack, file.run(), "watch over the file with shares")
        _endless(stack, health.run(), "health")
        await reconciler.run()


def _background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task that ends with the stack at the latest."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)
    return task


def _endless(stack: AsyncExitStack, work: Coroutine[Any, Any, None], what: str) -> None:
    """Start a task that ends with the stack; nobody waits for it, so an end before that has to be told."""

    def tell(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            _LOG.error("a part of the supervisor has ended", part=what, reason=repr(task.exception()))

    _background(stack, work).add_done_callback(tell)


def _api_listener(settings: Settings, first: FirstProcess) -> socket.socket:
    """Return the API's listening socket, a predecessor's if there is one: then nobody was refused in between."""
    if held := first.held.get(_API_LISTENER):
        return socket.socket(fileno=held.descriptors[0])
    listener = preconditions.listen(str(settings.api_address), settings.api_port)
    first.keep(_API_LISTENER, "", (listener.fileno(),))
    return listener


def _local_listener(path: Path, group: int) -> socket.socket:
    """Return the API's unix socket, listening; root and the group may connect, and only root needs no token."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.chown(path, -1, group)
    os.chmod(path, 0o660)
    listener.listen(128)
    return listener


def api_child(settings: Settings, listener: socket.socket, local: socket.socket) -> ChildSpec:
    """Return what to know of the API's process. It inherits the listening sockets, so its restarts refuse nobody."""
    return ChildSpec(
        name="api",
        argv=python("api", "--fd", str(listener.fileno()), "--unix-fd", str(local.fileno())),
        ready=Answers(settings.api_socket, "/healthz"),
        user=settings.api_user,
        pass_fds=(listener.fileno(), local.fileno()),
        environment=tuple(settings.environment().items()),
        own_log=True,
    )
