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
        answer = view.at(NodeId(node))
        if not isinstance(answer, Opened) or answer.found.links == 0:
            continue
        native = answer.native
        # The kernel often remembers by which name it last came to an inode.
        if (quick := view.path_of(native)) is not None:
            found[node] = quick
        else:
            wanted.setdefault(answer.found.inode, []).append((node, native))
    return _walk(view, found, wanted, time.monotonic() + seconds)


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
