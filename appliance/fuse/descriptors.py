"""A worker's open descriptors: a bounded cache, never the truth. What is missing is opened again by handle."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from appliance.fuse.nodes import ROOT, Codec, NodeId, Stale
from appliance.linux import handles

_FREE = -1


class Access(IntEnum):
    """What a descriptor is for."""

    PATH = 0
    READ = 1
    WRITE = 2


_FLAGS = {Access.PATH: os.O_PATH | os.O_NOFOLLOW, Access.READ: os.O_RDONLY, Access.WRITE: os.O_RDWR}


class _Node:
    """The descriptors of one node, by Access, and the turn in which they were last used."""

    __slots__ = ("descriptors", "turn")

    def __init__(self, turn: int) -> None:
        self.descriptors = [_FREE, _FREE, _FREE]
        self.turn = turn


class DescriptorCache:
    """The descriptors of the nodes used last, at most `capacity` nodes.

    A descriptor returned is good until `capacity` other nodes have been asked for, or its own is dropped.
    """

    def __init__(self, source: int, codec: Codec, capacity: int) -> None:
        self._source = source
        self._root = handles.name_to_handle(source)
        self._codec = codec
        self._capacity = capacity
        self._nodes: OrderedDict[NodeId, _Node] = OrderedDict()
        self._turn = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        """How many nodes have descriptors here."""
        return len(self._nodes)

    def get(self, node: NodeId, access: Access) -> int:
        """Return a descriptor of `node`. Raises OSError, ESTALE for a node that is not there any more."""
        entry = self._nodes.get(node)
        if entry is not None:
            self._nodes.move_to_end(node)
            entry.turn = self._turn
            if (descriptor := entry.descriptors[access]) != _FREE:
                self.hits += 1
                return descriptor
        self.misses += 1
        return self._store(node, access, self._open(node, access))

    @contextmanager
    def borrowed(self, node: NodeId) -> Iterator[int]:
        """Give a descriptor of `node` for a look at it: one that is open, or one that is closed again."""
        entry = self._nodes.get(node)
        for descriptor in entry.descriptors if entry else ():
            if descriptor != _FREE:
                self.hits += 1
                yield descriptor
                return
        self.misses += 1
        descriptor = self._open(node, Access.PATH)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def renew(self, node: NodeId, access: Access) -> int:
        """Like `get`, with a descriptor that nobody has used before."""
        entry = self._nodes.get(node)
        if entry is not None and (used := entry.descriptors[access]) != _FREE:
            entry.descriptors[access] = _FREE
            os.close(used)
        return self.get(node, access)

    def _open(self, node: NodeId, access: Access) -> int:
        handle = self._root if node == ROOT else self._codec.decode(node)
        descriptor = handles.open_by_handle(self._source, handle, _FLAGS[access])
        if self._codec.opens_any(node) and handles.name_to_handle(descriptor) != handle:
            os.close(descriptor)
            raise Stale
        return descriptor

    def put(self, node: NodeId, descriptor: int) -> int:
        """Keep an O_PATH descriptor that a look-up has opened, and return the one to use."""
        entry = self._nodes.get(node)
        if entry is not None and (known := entry.descriptors[Access.PATH]) != _FREE:
            os.close(descriptor)
            return known
        return self._store(node, Access.PATH, descriptor)

    def _store(self, node: NodeId, access: Access, descriptor: int) -> int:
        entry = self._nodes.get(node)
        if entry is None:
            while len(self._nodes) >= self._capacity:
                _close(self._nodes.popitem(last=False)[1])
            entry = self._nodes[node] = _Node(self._turn)
        entry.descriptors[access] = descriptor
        return descriptor

    def drop(self, node: NodeId) -> None:
        """Close what is open of `node`, so that the filesystem can free it."""
        if (entry := self._nodes.pop(node, None)) is not None:
            _close(entry)

    def drop_all(self) -> None:
        """Close everything."""
        while self._nodes:
            _close(self._nodes.popitem()[1])

    def age(self) -> None:
        """Close what was not used since the call before this one.

        A file deleted by a local process behind the mount would otherwise keep its space for as long as the worker
        has no other work.
        """
        oldest = self._turn
        self._turn += 1
        for node, entry in list(self._nodes.items()):
            if entry.turn >= oldest:
                break
            del self._nodes[node]
            _close(entry)


def _close(entry: _Node) -> None:
    for descriptor in entry.descriptors:
        if descriptor != _FREE:
            os.close(descriptor)
