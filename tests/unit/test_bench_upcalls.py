"""What is made of a kernel's trace: which NFS operation a FUSE request was for, and who in the kernel asked."""

from __future__ import annotations

from collections import Counter

from tests.bench import upcalls_nfs, upcalls_trace

# In the form of Linux 6.12, shortened: one thread of knfsd at two operations, another between them, and a program.
TRACE = """\
# tracer: nop
#
# entries-in-buffer/entries-written: 9/9   #P:2
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
            nfsd-1714    [001] .....   104.100001: fuse_request_send: connection 44 req 2 opcode 1 (FUSE_LOOKUP) len 56
            nfsd-1714    [001] .....   104.100007: <stack trace>
 => fuse_simple_request
 => fuse_lookup_name
 => fuse_lookup
 => nfsd4_open
 => nfsd4_proc_compound
 => nfsd_dispatch
            nfsd-1715    [000] .....   104.100100: fuse_request_send: connection 44 req 4 opcode 3 (FUSE_GETATTR) len 56
            nfsd-1714    [001] .....   104.100200: fuse_request_send: connection 44 req 6 opcode 14 (FUSE_OPEN) len 48
            nfsd-1714    [001] .....   104.100300: nfsd_compound_status: op=2/5 OP_OPEN status=0
            nfsd-1715    [000] .....   104.100400: nfsd_compound_status: op=3/3 OP_GETATTR status=0
 kworker/u8:1-36      [000] .....   104.100450: fuse_request_send: connection 44 req 8 opcode 18 (FUSE_RELEASE) len 64
            nfsd-1714    [001] .....   104.100500: nfsd_compound_status: op=3/5 OP_GETFH status=0
"""


def test_requests_are_told_by_their_operation() -> None:
    requests, operations = upcalls_trace.parse(TRACE)
    assert [(one.operation, one.name) for one in requests] == [
        ("OPEN", "lookup"), ("GETATTR", "getattr"), ("OPEN", "open"), ("(kworker/u8:1)", "release"),
    ]  # fmt: skip
    assert requests[0].cause == "fuse_lookup_name < fuse_lookup < nfsd4_open"
    assert requests[1].cause == ""
    assert operations == Counter(OPEN=1, GETATTR=1, GETFH=1)


def test_a_row_counts_each_time() -> None:
    found = {
        "name": "open", "times": 2, "served": {"lookup": 2, "open": 2, "getattr": 1},
        "asked": [["OPEN", "lookup", "a", 1], ["OPEN", "lookup", "b", 1], ["OPEN", "open", "", 2], ["x", "y", "", 0]],
    }  # fmt: skip
    assert upcalls_nfs.row(found) == "| open | 2.5 | OPEN: lookup 1, open 1 |"
