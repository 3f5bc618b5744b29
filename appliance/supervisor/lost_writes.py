"""Which shares' filesystems were lost with what they had not written, until the NFS server has started anew.

It outlives changes of the share and deaths of the supervisor, since the NFS server outlives both: with the same write
verifier it would tell clients that the lost data are on storage.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from uuid import UUID

from appliance.linux import files
from appliance.logs import facts
from appliance.state.records import Fsid

_LOG = facts(__name__)


class LostWrites:
    """A set of fsids that is also in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.fsids: Set[Fsid] = _read(path)

    def note(self, fsid: Fsid) -> None:
        """Remember that this share's filesystem was lost."""
        self._keep(self.fsids | {fsid})

    def settle(self, fsids: Set[Fsid]) -> None:
        """Forget these: their clients write again."""
        self._keep(self.fsids - fsids)

    def _keep(self, fsids: Set[Fsid]) -> None:
        if fsids == self.fsids:
            return
        self.fsids = fsids
        try:
            files.replace(self._path, "".join(f"{fsid}\n" for fsid in sorted(fsids)).encode())
        except OSError as error:
            _LOG.error("a successor would not know whose writes were lost", file=self._path, reason=error)


def _read(path: Path) -> Set[Fsid]:
    try:
        return {Fsid(UUID(line)) for line in path.read_text().splitlines()}
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:  # no reason to serve nobody
        _LOG.error("whose writes were lost cannot be read", file=path, reason=error)
        return frozenset()
