"""For how long the kernel believes what it was told, by who may change the source."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from appliance.fuse.pool_config import PoolOptions

_LONG_SECONDS = 3600.0
_SHORT_SECONDS = 1.0
# What a kernel that cannot be told that names have changed believes them for.
MOMENT_SECONDS = 0.05


@dataclass(frozen=True)
class Validity:
    """For how long, in seconds, the kernel may believe a name, attributes, and that there is no such name."""

    entry: float
    attributes: float
    negative: float = 0.0


class Caching(StrEnum):
    """Who changes the source: NFS clients alone, or local processes as well."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"


def cached(options: PoolOptions, caching: Caching) -> PoolOptions:
    """Return `options` with the time-outs of a share that is cached in this way."""
    seconds = _LONG_SECONDS if caching is Caching.EXCLUSIVE else _SHORT_SECONDS
    return replace(
        options,
        entry_timeout=seconds,
        attr_timeout=seconds,
        # That there is no such name is believed for as long: knfsd looks it up again when a client then makes it, and
        # what makes names expire is about those that are not there as well.
        negative_timeout=seconds,
        watch=caching is Caching.SHARED,
    )


def validity(options: PoolOptions, *, names_expire: bool) -> Validity:
    """Return what workers answer with; `names_expire` if the kernel can be told that names have changed."""
    longest = MOMENT_SECONDS if options.watch and not names_expire else math.inf
    entry, negative = min(options.entry_timeout, longest), min(options.negative_timeout, longest)
    return Validity(entry, options.attr_timeout, negative)
