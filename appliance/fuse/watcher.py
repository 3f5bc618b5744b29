"""The watcher: a process that has the kernel forget what local processes have changed behind the mount.

It listens to the source's filesystem (fanotify), which tells native handles, and those are node ids in other words:
there is no table of what anybody knows. It answers no request, so that nobody waits for it, and it can die at any time:
until there is another, what the kernel knows ends with its time-outs, as it does after more changes than the queue
takes.
"""

from __future__ import annotations

import logging
import os
import resource
import select
import socket
import time
from dataclasses import dataclass
from typing import Never

from appliance.backoff import Backoff
from appliance.fuse.caching import MOMENT_SECONDS
from appliance.fuse.codecs import btrfs, choice
from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.fuse.invalidations import Invalidations
from appliance.fuse.scoreboard import MAX_WORKERS, Scoreboard, Word
from appliance.linux import fanotify, handles, process

log = logging.getLogger(__name__)

_WATCHING = b"watching"
_MESSAGE_SIZE = 1024
_STOP_SECONDS = 1.0
# What happens meanwhile is told at once: programs do the same thing to the same file many times.
_GATHER_SECONDS = 0.02
# Where names only expire by themselves they have to be gone before a directory shows that it was changed.
_GATHER_OLD_SECONDS = MOMENT_SECONDS + 0.01


@dataclass(frozen=True)
class Watched:
    """What a watcher works with: descriptors, and how the share's handles are made into node ids."""

    connection: int
    source: int
    codec: CodecChoice
    table: str
    board: Scoreboard
    names_expire: bool


class Watcher:
    """The watcher as its owner has it, who calls `tend` a few times a second. Nothing here waits."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._socket: socket.socket | None = None
        self._pid = 0
        self._ended = 0  # the pid of one that is to be reaped
        self._backoff = Backoff(first=0.1, longest=30.0, healthy=10.0)
        self._due: float | None = 0.0
        self.reason = "not started yet"
        """Why local changes are not noticed; empty if they are."""

    def fileno(self) -> int:
        """The descriptor that is readable when `heard` is to be called. Only while it is `running`."""
        assert self._socket is not None  # noqa: S101 - see above
        return self._socket.fileno()

    @property
    def running(self) -> bool:
        """Whether there is such a process."""
        return self._socket is not None

    def tend(self) -> bool:
        """Start the process if that is due; True if it was."""
        if self._ended:
            reaped, _ = os.waitpid(self._ended, os.WNOHANG)
            self._ended = 0 if reaped else self._ended
        if self._due is None or time.monotonic() < self._due:
            return False
        self._due = None
        self._start()
        return True

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            _serve(self._watched, theirs)
        theirs.close()
        ours.setblocking(False)
        self._socket = ours

    def heard(self) -> None:
        """Take in what the process says, or that it has ended. If it cannot do its work there is not another one."""
        assert self._socket is not None  # noqa: S101 - see `fileno`
        try:
            message = self._socket.recv(_MESSAGE_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            message = b""
        if message:
            self.reason = "" if message == _WATCHING else message.decode()
            return
        failed = bool(self.reason)
        self.end()
        self._ended = self._pid
        if not failed:
            self.reason = "the process that watches the source has died; another is started"
            self._due = time.monotonic() + self._backoff.after_failure(time.monotonic())

    def stop(self) -> None:
        """End the process and wait, not for ever: until then it holds on to the source."""
        if self._socket is not None:
            found = process.Process(self._pid)
            self.end()
            found.wait(_STOP_SECONDS)
            found.close()

    def end(self) -> None:
        """Let go of the process, which ends then. A forked child must do so, too."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _serve(watched: Watched, owner: socket.socket) -> Never:
    process.set_name("holdfast-watch")
    try:
        # Above all its owner's control socket, whose end must be seen when that dies.
        _close_all_but(owner.fileno(), watched.connection, watched.source)
        try:
            events = _listen(watched)
            find = choice.finder(watched.codec, watched.source, watched.table)
            root = handles.name_to_handle(watched.source)
        except OSError as error:
            owner.send(f"local changes are not noticed: {error.strerror} (fanotify)".encode())
            os._exit(0)
        process.keep_capabilities(frozenset())
        owner.send(_WATCHING)
        _watch(watched, events, Invalidations(watched.connection, root, find, names_expire=watched.names_expire), owner)
    except BaseException:
        log.exception("the process that watches the source ends")
    finally:
        os._exit(0)


def _close_all_but(*kept: int) -> None:
    start = 3
    for descriptor in sorted(kept):
        if start < descriptor:  # closerange(3, 0) would close everything
            os.closerange(start, descriptor)
        start = max(start, descriptor + 1)
    os.closerange(start, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _listen(watched: Watched) -> int:
    if watched.codec.kind is not Kind.BTRFS:
        return fanotify.watch_filesystem(watched.source)
    # A subvolume is not what the kernel takes for the whole of btrfs; its top is, wherever it is mounted.
    top = handles.open_by_handle(watched.source, btrfs.top(), os.O_RDONLY)
    try:
        return fanotify.watch_filesystem(top)
    finally:
        os.close(top)


def _watch(watched: Watched, events: int, invalidations: Invalidations, owner: socket.socket) -> None:
    """Tell the kernel what happens, until the owner lets go of this process or the connection ends."""
    gather = _GATHER_SECONDS if watched.names_expire else _GATHER_OLD_SECONDS
    poll = select.poll()
    poll.register(events, select.POLLIN)
    poll.register(owner, 0)
    while True:
        if any(descriptor == owner.fileno() for descriptor, _ in poll.poll()):
            return
        time.sleep(gather)
        # The kernel knows what they have done, since they did it for it. Of those who have ended it hears too much.
        ours = {watched.board.slot(index).words[Word.PID] for index in range(MAX_WORKERS)} - {0}
        if not invalidations.send(list(fanotify.read_changes(events, ours))):
            return
