"""pyfuse3's main loop without an event loop: read a request, serve it, read the next.

A worker serves one request at a time and does nothing else, so there is nothing to switch to: trio would cost a
turn of its scheduler and an epoll per request, and would wake every worker of the share for each one. pyfuse3 lets its
`trio` be replaced (its own asyncio mode does so); this is the least that its `main` needs. Nothing here ever
suspends, and so `run` can drive the coroutine by hand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import pyfuse3


class _Lock:
    """A lock with nobody to contend for it."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_details: object) -> None:
        pass


class _Nursery:
    """A nursery of one task, which runs when the block ends."""

    def __init__(self) -> None:
        self._task: Awaitable[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    def start_soon(self, function: Callable[..., Awaitable[None]], *arguments: object, name: str) -> None:
        if self._task is not None:
            raise RuntimeError(f"pyfuse3 started a second task, {name}, although it was given one")
        self._task = function(*arguments)

    async def __aexit__(
        self, kind: type[BaseException] | None, *_details: BaseException | TracebackType | None
    ) -> None:
        if kind is None and self._task is not None:
            await self._task


class _NeverRaised(Exception):
    """Stands for trio's ClosedResourceError."""


def run(between_requests: Callable[[], None]) -> None:
    """Serve requests until the connection ends; `between_requests` is called when a reply has been sent.

    To be called after pyfuse3.init. Raises OSError if the connection's descriptor cannot be read.
    """

    async def wait_readable(_descriptor: int) -> None:
        # The read that follows blocks until there is a request, and the kernel wakes one reader for each.
        between_requests()

    pyfuse3.trio = SimpleNamespace(  # type: ignore[attr-defined]
        Lock=_Lock,
        open_nursery=_Nursery,
        ClosedResourceError=_NeverRaised,
        lowlevel=SimpleNamespace(
            wait_readable=wait_readable,
            current_trio_token=lambda: None,
            current_task=lambda: SimpleNamespace(name="worker"),
        ),
    )
    main: Coroutine[Any, Any, None] = pyfuse3.main(1, 1)
    try:
        main.send(None)
    except StopIteration:
        return
    raise RuntimeError("pyfuse3 waited for something other than the next request")
