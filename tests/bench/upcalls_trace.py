"""Which NFS operation a FUSE request belongs to, and which function of the kernel asked for it: the kernel's own trace.

Two events are joined: a thread of knfsd that sends FUSE requests says with the next `nfsd_compound_status` for which
operation that was. What others than knfsd ask is theirs, by the name of their process.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

_LINE = re.compile(r"\s*(?P<who>\S.*)-(?P<thread>\d+)\s+\[\d+\]\s+\S+\s+[\d.]+: (?P<event>\w+): ?(?P<text>.*)")
_OPCODE = re.compile(r"opcode \d+ \(FUSE_(\w+)\)")
_OPERATION = re.compile(r"op=\d+/\d+ OP_(\w+)")
_FRAME = " => "
# Between what sends a request and what wants it, and above what handles an NFS operation: nothing that explains it.
_SENDING = re.compile(
    r"(__)?fuse_(simple_|dev_|request|send|do_getattr)|queue_request|flush_bg_queue|trace_|__traceiter|event_trigger"
)
_HANDLING = re.compile(r"nfsd4_proc|nfsd_dispatch|svc_process|do_syscall|entry_|ret_from")


@dataclass
class Request:
    """A FUSE request; its NFS operation is known when that is over."""

    name: str
    callers: list[str] = field(default_factory=list)
    operation: str = ""

    @property
    def cause(self) -> str:
        """The chain of functions that asked for it, the innermost first."""
        return " < ".join(function for function in self.callers if not _SENDING.match(function))


def parse(trace: str) -> tuple[list[Request], Counter[str]]:
    """Return the requests, and how often there was which NFS operation."""
    requests, operations = list[Request](), Counter[str]()
    waiting = defaultdict[str, list[Request]](list)  # by thread: what belongs to the operation that it is at
    for found in _events(trace):
        thread = found.thread
        if found.request:
            requests.append(found.request)
            waiting[thread].append(found.request)
            found.request.operation = f"({found.who})"
        else:
            operations[found.operation] += 1
            for request in waiting.pop(thread, ()):
                request.operation = found.operation
    return requests, operations


@dataclass
class _Event:
    who: str
    thread: str
    request: Request | None = None
    operation: str = ""


def _events(trace: str) -> Iterator[_Event]:
    callers: list[str] | None = None  # where the frames that follow go
    for line in trace.splitlines():
        if line.startswith(_FRAME):
            function = line.removeprefix(_FRAME).strip()
            if callers is not None and _HANDLING.match(function):
                callers = None
            if callers is not None:
                callers.append(function)
            continue
        if not (match := _LINE.match(line)) or "<stack trace>" in line:
            continue
        callers = None
        if match["event"] == "fuse_request_send" and (opcode := _OPCODE.search(match["text"])):
            request = Request(opcode[1].lower())
            callers = request.callers
            yield _Event(match["who"], match["thread"], request)
        elif match["event"] == "nfsd_compound_status" and (operation := _OPERATION.search(match["text"])):
            yield _Event(match["who"], match["thread"], operation=operation[1])
