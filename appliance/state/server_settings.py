"""The NFS server's settings: those of the environment, and over them those that were set while the appliance ran."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import ValidationError

from appliance.model import fault
from appliance.model.server import ServerSettings
from appliance.settings import Settings

# What each is called in the environment's settings; the versions are two of those.
_NAMES = {
    "threads": "nfs_threads", "lease": "nfs_lease", "grace": "nfs_grace", "addresses": "nfs_addresses",
    "mountd_port": "mountd_port", "statd_port": "statd_port",
}  # fmt: skip


def effective(environment: Settings, wanted: ServerSettings) -> Settings:
    """Return the environment's settings with what is wanted in their place; raises RequestError if they do not fit."""
    changes: dict[str, object] = {
        name: value for field, name in _NAMES.items() if (value := getattr(wanted, field)) is not None
    }
    if wanted.versions is not None:
        changes |= {"nfs_v3": "3" in wanted.versions, "nfs_v42": "4.2" in wanted.versions}
    try:
        return Settings.model_validate({**dict(environment), **changes})
    except ValidationError as error:
        raise fault(error.errors(include_url=False)) from None


def told(settings: Settings) -> Mapping[str, object]:
    """Return the settings by the names that people know."""
    versions = (*(("3",) if settings.nfs_v3 else ()), "4.1", *(("4.2",) if settings.nfs_v42 else ()))
    addresses = tuple(map(str, settings.nfs_addresses))
    return {"versions": versions, **{field: getattr(settings, name) for field, name in _NAMES.items()},
            "addresses": addresses}  # fmt: skip


def starting_anew(now: Settings, settings: Settings) -> tuple[str, ...]:
    """Return which settings differ from those of `now` so that the server has to be started anew for them.

    The number of threads never does. Without NFSv3, now and then, nobody asks at the ports of its daemons.
    """
    new, old = told(settings), told(now)
    of_version_3 = () if settings.nfs_v3 or now.nfs_v3 else ("mountd_port", "statd_port")
    return tuple(name for name in new if name not in ("threads", *of_version_3) and new[name] != old[name])


def threads(settings: Settings, workers: int, processors: int | None = os.cpu_count()) -> int:
    """Return how many threads the server shall have, `workers` being those of all shares together.

    Each waits for a worker while it serves a request, so that fewer threads would leave workers idle.
    """
    if settings.nfs_threads != "auto":
        return settings.nfs_threads
    return max(8, min(256, 2 * (processors or 1) + workers))
