"""The supervisor: starts its parts in the order of their dependencies, and takes them down in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from appliance.linux import process
from appliance.logs import facts
from appliance.settings import Settings
from appliance.state.database import Database
from appliance.state.server_settings import effective
from appliance.state.store import Store
from appliance.supervisor import kernel_mounts, listeners, preconditions, state_dir
from appliance.supervisor.control_server import ControlServer
from appliance.supervisor.endless import endless
from appliance.supervisor.first import STOP_SIGNALS
from appliance.supervisor.first_orders import FirstProcess
from appliance.supervisor.fuse_path import FuseDataPath
from appliance.supervisor.guard import Guard
from appliance.supervisor.nfs_side import NfsSide
from appliance.supervisor.parts import Ground, Parts, put_together
from appliance.supervisor.server_requests import in_force
from appliance.supervisor.threads import in_thread

_LOG = facts(__name__)


async def supervise(settings: Settings, first: FirstProcess) -> None:
    """Run the appliance until one of STOP_SIGNALS. Raises HoldfastError if it cannot be started."""
    if first.pid != 1 and process.in_pid_namespace():
        _LOG.warning("another program is process 1, so a kill of the container is an error to clients and no pause",
                     hint="start it without init: true (--init): the appliance reaps and passes signals on by itself")
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
        environment, settings = settings, effective(settings, in_force(store, settings.run_dir, again=first.again))
        at = listeners.listen(settings, first, api_user.pw_gid)
        stack.callback(at.close)
        nfs_side = await _start_nfs(stack, settings, first)
        listeners.keep(at, first)
        database = Database(settings.database)
        stack.callback(database.close)
        api = Guard(listeners.api_child(settings, at), settings.ready_timeout)

        def restarts() -> dict[str, int]:
            return {**nfs_side.restarts(), api.spec.name: api.restarts}

        data_path = FuseDataPath(first, listeners.but_ours(first.held), settings.source_roots)
        parts = put_together(Ground(environment, settings, store, database, data_path, nfs_side, restarts))
        parts.executor.adopt()
        stack.push_async_callback(parts.reconciler.shut_down)
        if store.restored:
            parts.events.add("state-restored", f"the state database {store.restored}; it was restored from its copy")
        control = ControlServer(settings.control_socket, {0, os.getuid(), api_user.pw_uid}, parts.desk.answer)
        stack.push_async_callback(control.stop)
        await control.start(api_user.pw_gid)
        stack.push_async_callback(api.stop)

        await _bring_up(stack, parts, api, again=first.again)
        for problem in await nfs_side.problems():
            _LOG.error("the NFS side is not as it should be", problem=problem)
        _LOG.info("serving", shares=len(parts.executor.served), failed=len(parts.executor.faults))
        _watch_over(stack, parts)
        await parts.reconciler.run()


async def _start_nfs(stack: AsyncExitStack, settings: Settings, first: FirstProcess) -> NfsSide:
    await in_thread(lambda: kernel_mounts.mount_exports(settings.exports_dir))
    stack.push_async_callback(in_thread, lambda: kernel_mounts.unmount_exports(settings.exports_dir))
    nfs_side = NfsSide(settings, first)
    stack.push_async_callback(nfs_side.stop)
    await nfs_side.start()
    return nfs_side


async def _bring_up(stack: AsyncExitStack, parts: Parts, api: Guard, *, again: bool) -> None:
    """Have everything that is desired served. The API has no part in the shares' coming up, nor they in its."""
    starting = _background(stack, api.start(patient=again))
    await parts.file.look()
    if again:
        await parts.reconciler.attempt()  # what is served goes on, whatever fails beside it
        await parts.server.settle()
    else:
        await parts.reconciler.reconcile()
    await starting


def _watch_over(stack: AsyncExitStack, parts: Parts) -> None:
    for run, what in (
        (parts.checks.run, "handle checks"),
        (parts.canaries.run, "canaries"),
        (parts.sources.run, "watch of sources"),
        (parts.file.run, "watch over the file with shares"),
        (parts.health.run, "health"),
    ):
        _background(stack, endless(run, what))


def _background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task that ends with the stack at the latest."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)
    return task
