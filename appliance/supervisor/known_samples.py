"""The sampled handles that a share still has to answer for."""

from __future__ import annotations

from uuid import UUID

from appliance.checks.samples import Sample
from appliance.state.check_store import CheckStore
from appliance.state.store import Store


def samples_of(store: Store, results: CheckStore, share: str, fsid: UUID) -> list[Sample]:
    """Return a share's samples, without those of a source that the name had before: they were ended on purpose.

    An fsid that no share ever had stays: whoever lost it has lost every client's handles. Blocks for milliseconds.
    """
    former = {str(known) for known in store.known_fsids()} - {str(fsid)}
    return [sample for sample in results.samples(share) if sample.fsid not in former]
