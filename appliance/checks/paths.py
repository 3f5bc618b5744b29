"""Finding the paths of several files at once: from inode to path there is no way but to look through the tree."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.checks.evidence import Opened
from appliance.checks.search import entries_of, is_directory
from appliance.checks.view import View
from appliance.fuse.nodes import ROOT, NodeId
from appliance.linux import handles
from appliance.linux.handles import NativeHandle

_Wanted = dict[int, list[tuple[int, NativeHandle]]]  # by inode number


@dataclass(frozen=True)
class Paths:
    """One path for each node that was found, relative to the share's root; and whether the search came to its end."""

    found: dict[int, bytes]
    complete: bool


def paths_of(view: View, nodes: Sequence[int], seconds: float) -> Paths:
    """Look for a name of each node for at most so many seconds. Raises OSError."""
    found: dict[int, bytes] = {}
    wanted: _Wanted = {}
    for node in dict.fromkeys(nodes):
        if node == ROOT:
            found[node] = b""
            continue
        if (native := _native(view, node)) is None:
            continue
        answer = view.behind(native)
        if not isinstance(answer, Opened) or answer.found.links == 0:
            continue
        # The kernel often remembers by which name it last came to an inode.
        if (quick := view.path_of(native)) is not None:
            found[node] = quick
        else:
            wanted.setdefault(answer.found.inode, []).append((node, native))
    return _walk(view, found, wanted, time.monotonic() + seconds)


def _native(view: View, node: int) -> NativeHandle | None:
    """Return the handle that the node's inode has on the source, None if there is no such inode of the share.

    It may tell more than the one that the node id is turned into, which is only good for opening (btrfs).
    """
    try:
        descriptor = handles.open_by_handle(view.source, view.codec.decode(NodeId(node)), os.O_PATH | os.O_NOFOLLOW)
        try:
            native = handles.name_to_handle(descriptor)
        finally:
            os.close(descriptor)
        return native if view.codec.encode(native).node == node else None
    except OSError:
        return None


def _walk(view: View, found: dict[int, bytes], wanted: _Wanted, deadline: float) -> Paths:
    pending = [b""]
    while pending and wanted:
        if time.monotonic() > deadline:
            return Paths(found, complete=False)
        directory = pending.pop(0)
        for name, kind, inode in entries_of(view.source, directory):
            path = os.path.join(directory, name)
            if is_directory(kind):
                pending.append(path)
            if inode in wanted and (at := view.named(path)) is not None:
                for node, native in list(wanted[inode]):
                    if at.at.native == native:
                        found[node] = path
                        wanted[inode].remove((node, native))
                if not wanted[inode]:
                    del wanted[inode]
    return Paths(found, complete=True)
