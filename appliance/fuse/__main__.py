"""`python -m appliance.fuse SOURCE MOUNTPOINT`: serve one mount in the foreground, without NFS.

For debugging, for other people's test suites, and for our own. Prints READY when the mount answers. SIGINT and
SIGTERM unmount and end it; the death of a worker or of the pool process is survived as in the appliance.
"""

from __future__ import annotations

import argparse
import logging
import os
import selectors
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from appliance.backoff import Backoff
from appliance.errors import HoldfastError, MountError
from appliance.fuse.connection import Connection
from appliance.fuse.pool_config import PoolOptions
from appliance.fuse.pool_events import (
    PoolDegraded,
    PoolDisconnected,
    PoolEvent,
    PoolReady,
    PoolRecovered,
    RequestRefused,
    StorageFine,
    StorageSlow,
    WorkerDied,
)
from appliance.fuse.pool_process import PoolProcess
from appliance.fuse.scoreboard import MAX_WORKERS
from appliance.fuse.source import Source
from appliance.fuse.state import State
from appliance.linux import process

log = logging.getLogger("holdfast")


def main() -> int:
    """Parse the command line, serve, and return the exit status."""
    arguments = _parse()
    logging.basicConfig(format="holdfast: %(message)s", level=logging.DEBUG if arguments.verbose else logging.WARNING)
    process.allow_descriptors()  # for each open file that is unlinked one is kept
    options = PoolOptions(
        workers=arguments.workers,
        most_workers=arguments.most_workers,
        slow_after=arguments.slow_after,
        passthrough=arguments.passthrough,
        entry_timeout=arguments.timeout,
        attr_timeout=arguments.timeout,
        negative_timeout=arguments.negative_timeout,
        watch=arguments.watch,
        durable=arguments.durable,
    )
    try:
        state = State(arguments.state)
        return _serve(arguments.source.absolute(), arguments.mountpoint, state, options, arguments.pool_module)
    except HoldfastError as error:
        print(f"holdfast: {error}", file=sys.stderr)
        return error.exit_code


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m appliance.fuse", description=__doc__)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the directory to serve")
    parser.add_argument("mountpoint", type=Path, metavar="MOUNTPOINT", help="an existing directory")
    parser.add_argument("--workers", type=_worker_count, default=2, help="worker processes (default: 2)")
    parser.add_argument(
        "--most-workers",
        type=_worker_count,
        default=0,
        metavar="N",
        help="worker processes there may be while some wait for storage (default: 4 times as many as otherwise)",
    )
    parser.add_argument(
        "--slow-after",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="time at one request after which the storage is said to be slow (default: 5)",
    )
    parser.add_argument(
        "--timeout", type=float, default=1.0, metavar="SECONDS", help="validity of names and attributes (default: 1)"
    )
    parser.add_argument(
        "--negative-timeout", type=float, default=0.0, metavar="SECONDS", help="of what is not there (default: 0)"
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="notice what others change in SOURCE before the validity ends, as shares do (default: do not)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIRECTORY",
        help="keeps what handles depend on from one run to the next: the key, and for some filesystems a table",
    )
    parser.add_argument(
        "--durable",
        action="store_true",
        help="have changes of names and attributes on storage before they are answered, as in the appliance",
    )
    parser.add_argument(
        "--no-passthrough",
        dest="passthrough",
        action="store_false",
        help="read and write in a worker also where the kernel could do it itself",
    )
    parser.add_argument("--verbose", action="store_true", help="log each death and recovery")
    parser.add_argument("--pool-module", default="appliance.fuse.pool", help=argparse.SUPPRESS)  # for tests of failures
    return parser.parse_args()


def _worker_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_WORKERS}")
    return int(text)


def _serve(source_path: Path, mountpoint: Path, state: State, options: PoolOptions, module: str) -> int:
    with ExitStack() as stack:
        stop = _stop_signal(stack)
        source = Source.open(source_path, state.codec())
        stack.callback(source.close)
        state.keep_codec(source.codec)
        options = replace(options, table=state.table(source.codec))
        if mountpoint.is_mount():  # a second mount would hide the first, whose users would not notice
            raise MountError(f"{mountpoint} is a mount already", f"first: umount {mountpoint}", code="busy")
        connection = Connection.mount(mountpoint, str(source_path))
        stack.callback(connection.close)
        stack.callback(connection.unmount, lazy=True)
        pool = PoolProcess.create(mountpoint.name, source, connection, options, state.key(), module=module)
        stack.callback(pool.close)
        backoff = Backoff(first=0.1, longest=5.0, healthy=10.0, free=3)
        while _watch(pool, stop):
            log.info("the pool process died; starting another")
            time.sleep(backoff.after_failure(time.monotonic()))
    return 0


def _stop_signal(stack: ExitStack) -> int:
    """Return a descriptor that becomes readable on SIGINT and SIGTERM."""
    readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    stack.callback(os.close, readable)
    stack.callback(os.close, writable)
    signal.set_wakeup_fd(writable)
    stack.callback(signal.set_wakeup_fd, -1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return readable


def _watch(pool: PoolProcess, stop: int) -> bool:
    """Run the pool process until it dies; False if it is not to be started again."""
    pool.start()
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        selector.register(pool, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if stop in ready:
                return False
            events = pool.receive()
            if events is None:
                return True
            if any(isinstance(event, PoolDisconnected) for event in events):
                log.warning("the mount is gone")
                return False
            for event in events:
                _report(event)


def _report(event: PoolEvent) -> None:
    match event:
        case PoolReady():
            print("READY", flush=True)
        case WorkerDied(pid, reason):
            log.info("worker %d died: %s", pid, reason)
        case PoolRecovered(milliseconds, intents):
            log.info("recovered in %.1f ms, %d operations to be told apart", milliseconds, intents)
        case PoolDegraded(message, retry_in):
            log.warning("%s; next try in %.1f s", message, retry_in)
        case RequestRefused(operation, node, deaths):
            log.warning("%s of node %#x was answered with EIO: %d workers died at it", operation, node, deaths)
        case StorageSlow(operation, node, seconds, waiting, workers):
            log.warning(
                "storage slow: %s of node %#x for %.0f s; %d of %d workers wait",
                *(operation, node, seconds, waiting, workers),
            )
        case StorageFine():
            log.warning("storage answers again")


if __name__ == "__main__":
    sys.exit(main())
