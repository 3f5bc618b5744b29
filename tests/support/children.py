"""Call a function in a child process: for other users, other directories, and for what may crash or hang."""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

T = TypeVar("T")


class ChildError(Exception):
    """The function raised, or the child did not live to tell."""


class Child:
    """A forked process at work on one function; `result()` waits for it, leaving the context ends it."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._reaped = False
        self._pipe, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._pipe)
            _serve(function, answer)
        os.close(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._reaped:
            os.kill(self.pid, signal.SIGKILL)
            os.close(self._pipe)
            os.waitpid(self.pid, 0)

    @property
    def ended(self) -> bool:
        """Say whether there is a result, or will never be one."""
        return bool(select.select([self._pipe], [], [], 0)[0])

    def result(self) -> object:
        """Return what the function returned. Raises ChildError with the child's traceback."""
        with os.fdopen(self._pipe, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        self._reaped = True
        if not data:
            raise ChildError(f"the child ended without a word, wait status {status:#x}")
        fine, value = pickle.loads(data)  # noqa: S301  # our own child wrote it
        if not fine:
            raise ChildError(f"in the child:\n{value}")
        return value


def _serve(function: Callable[[], object], answer: int) -> None:
    faulthandler.disable()  # a child that is meant to die of a signal need not say where
    try:
        try:
            data = pickle.dumps((True, function()))
        except BaseException:  # noqa: BLE001  # the parent raises it
            data = pickle.dumps((False, traceback.format_exc()))
        with os.fdopen(answer, "wb") as pipe:
            pipe.write(data)
    finally:
        os._exit(0)  # nothing of the parent's (buffers, exit hooks, fixtures) runs twice


def in_child(function: Callable[[], T]) -> T:
    """Call `function` in a child and return what it returned."""
    with Child(function) as child:
        return child.result()  # type: ignore[return-value]  # pickled from exactly that


@contextmanager
def acting_as(uid: int, gid: int, *groups: int) -> Iterator[None]:
    """Have this process's file accesses count as those of another user, who has no capabilities."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Make files under another umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
