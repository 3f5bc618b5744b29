"""Taking new samples: random walks down the source, so that a large tree costs no more than a small one."""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Callable, Iterator
from itertools import islice

from appliance.checks.evidence import Opened
from appliance.checks.samples import Sample
from appliance.checks.view import View

_LOOKED_AT = 2000  # entries of one directory, from its beginning
_DEEPEST = 64
_LINK_TRIES = 8
_FRUITLESS = 200  # walks one after the other that end at files of the sample: there is not much more
_DESCEND = 0.8  # how often a walk that meets a directory goes on into it


def take(view: View, path: bytes, fsid: str, key: str) -> Sample | None:
    """Return a sample of the file at a path; None if it is not there or not served, or changes at this moment."""
    try:
        name, handle = view.named(path), view.handle_at(path)
    except OSError:
        return None
    if name is None or handle is None:
        return None
    # The mount must be seen to open the very file, or the sample would accuse it of what a rename did meanwhile.
    seen = view.through(handle)
    if not isinstance(seen, Opened) or seen.native != name.at.native:
        return None
    found = name.at.found
    return Sample(
        handle, name.at.native, found.inode, found.type, found.birth, found.size, found.mtime, path, fsid, key,
        time.time(),
    )  # fmt: skip


def take_new(
    view: View, count: int, known: set[bytes], fsid: str, key: str, dice: random.Random,
    pause: Callable[[], None] = lambda: None,
) -> Iterator[Sample]:  # fmt: skip
    """Yield at most `count` samples whose paths are not among `known`; the root first if it is new.

    `pause` is called after each.
    """
    if count and b"" not in known and (root := take(view, b"", fsid, key)) is not None:
        count -= 1
        known.add(b"")
        yield root
    fruitless = 0
    while count > 0 and fruitless < _FRUITLESS:
        path = _walk(view.source, dice)
        fruitless += 1
        if path is None or path in known:
            continue
        if (sample := take(view, path, fsid, key)) is not None:
            known.add(path)
            count, fruitless = count - 1, 0
            yield sample
        pause()


def _walk(source: int, dice: random.Random) -> bytes | None:
    """Go down from the root by lot and return where that ends. Types of files have equal chances, however many."""
    path: list[str] = []
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=source)
    try:
        while len(path) < _DEEPEST:
            entry = _choose(directory, dice)
            if entry is None:
                break
            path.append(entry.name)
            if not entry.is_dir(follow_symlinks=False) or dice.random() > _DESCEND:
                break
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(entry.name, flags, dir_fd=directory)
            os.close(directory)
            directory = below
    except OSError:
        return None  # it has changed under our hands
    finally:
        os.close(directory)
    return os.fsencode("/".join(path)) if path else None


def _choose(directory: int, dice: random.Random) -> os.DirEntry[str] | None:
    by_type: dict[int, list[os.DirEntry[str]]] = {}
    with os.scandir(directory) as entries:
        for entry in islice(entries, _LOOKED_AT):
            by_type.setdefault(_type(entry), []).append(entry)
    if not by_type:
        return None
    chosen = by_type[dice.choice(sorted(by_type))]
    entry = dice.choice(chosen)
    if _type(entry) == stat.S_IFREG and dice.random() < 0.5:
        tried = dice.sample(chosen, min(_LINK_TRIES, len(chosen)))
        linked = [each for each in tried if each.stat(follow_symlinks=False).st_nlink > 1]
        entry = linked[0] if linked else entry
    return entry


def _type(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0
