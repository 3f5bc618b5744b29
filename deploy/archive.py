"""Docker's image archives: which layers one has, and a copy without those that an engine has already.

`docker load` looks at a layer's file only if the engine does not have that layer; so the file may be missing.
"""

from __future__ import annotations

import itertools
import json
import tarfile
from collections.abc import Collection, Sequence
from pathlib import Path


def layers(archive: Path) -> list[str]:
    """Return the names of the layers' files; buildah names them after their contents."""
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        if manifest is None:
            raise ValueError(f"{archive} is not an image archive")
        names: list[str] = json.load(manifest)[0]["Layers"]
        return names


def common_layers(loaded: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return those layers of an image that an engine which has loaded another one has.

    An engine knows a layer by what is below it as well (its chain id), so only those from the bottom up to the first
    that differs count, whatever is the same above it.
    """
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(loaded, wanted, strict=False))
    return [layer for layer, _ in pairs]


def without_layers(archive: Path, known: Collection[str], smaller: Path) -> None:
    """Write a copy of an archive that lacks the files of these layers."""
    with tarfile.open(archive) as tar, tarfile.open(smaller, "w") as copy:
        for member in tar:
            if member.name not in known:
                copy.addfile(member, tar.extractfile(member) if member.isreg() else None)
