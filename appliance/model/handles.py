"""Handle checks and decoded handles as they are told: by the supervisor, in the database, by the API."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from appliance.checks.outcomes import Drift, Meaning, Outcome
from appliance.model.frozen import Frozen

Mode = Literal["passive", "evict", "workers", "remount", "nfs"]
Phase = Literal["running", "done", "failed", "cancelled"]


class CheckWanted(Frozen):
    """What a check is to be."""

    mode: Mode = Field(
        default="passive",
        description="passive: as things are · evict: the kernel forgets the share's names and inodes first · workers: "
        "all workers are replaced first · remount: the share is mounted anew first · nfs: over NFS, as a "
        "client.",
    )
    force: bool = Field(
        default=False,
        strict=True,
        description="For `remount`: go on although NFSv4 clients hold files open. They lose them.",
    )
    forget_drift: bool = Field(
        default=False,
        strict=True,
        description="Take handles that have drifted out of the sample when the check is done, and the share for "
        "healthy again: for when the cause is known and mended.",
    )


class HandleFinding(Frozen):
    """One sampled handle and what became of it."""

    outcome: Outcome = Field(description="What became of it; only `drift` breaks the promise.")
    drift: Drift | None = Field(description="For a drift: of which kind.")
    reason: str = Field(description="What was seen, in a sentence.")
    path: str = Field(description="Where the file was when it was sampled, below the share's root.")
    path_now: str | None = Field(description="Where it is now, if it has moved and that is known.")
    inode: int = Field(description="Its inode number on the source.")
    type: int = Field(description="Its type, as in the upper bits of st_mode.")
    handle: str = Field(description="The handle on the FUSE mount, in hex: what `holdfast decode` takes.")
    native: str = Field(description="The native handle, in hex.")
    taken: float = Field(description="When it was sampled, in seconds since the epoch.")


class HandleCheck(Frozen):
    """A check of a share's sampled handles."""

    id: int = Field(description="The number of the check.")
    share: str = Field(description="The share.")
    mode: Mode = Field(description="What was done before the handles were opened.")
    trigger: Literal["request", "schedule"] = Field(description="Why it was made.")
    state: Phase = Field(description="failed: it could not be made; nothing is known of the handles then.")
    started: float = Field(description="Seconds since the epoch.")
    finished: float | None = Field(default=None, description="Seconds since the epoch; null while it runs.")
    done: int = Field(default=0, description="Samples looked at so far.")
    total: int = Field(default=0, description="Samples to be looked at.")
    seconds: float | None = Field(default=None, description="How long opening the handles took.")
    counts: dict[Outcome, int] = Field(default_factory=dict, description="How many handles had each outcome.")
    forgotten: bool = Field(default=False, description="Whether what drifted was taken out of the sample.")
    reason: str = Field(default="", description="Why it failed.")
    hint: str = Field(default="", description="The step that mends that.")

    @property
    def drifted(self) -> int:
        """How many handles drifted."""
        return self.counts.get(Outcome.DRIFT, 0)


class HandleCheckReport(HandleCheck):
    """A check with its findings."""

    findings: tuple[HandleFinding, ...] = Field(
        description="Handles that are not simply as they were; drifts first, at most a thousand."
    )


class HandleHealth(Frozen):
    """What the checks and the canary say of a share's handles."""

    status: Literal["unknown", "ok", "drift", "silent"] = Field(
        default="unknown",
        description="drift: a handle does not name its file any more · silent: the canary gets no answer.",
    )
    reason: str = Field(default="", description="What is wrong, if something is.")
    checked: float | None = Field(
        default=None, description="When the last check was finished, in seconds since the epoch."
    )
    samples: int = Field(default=0, description="Handles in the sample.")
    canary_seconds: float | None = Field(default=None, description="How long the canary's last answer took.")


class DecodedHandle(Frozen):
    """What a handle names."""

    form: Literal["nfs", "mount", "native", "unknown"] = Field(
        description="nfs: an NFS file handle · mount: of a FUSE mount · native: of a source's filesystem."
    )
    verdict: Meaning = Field(
        description="live: it opens its file · freed-inode: it did, and the file is deleted · bad-mac: forged or "
        "damaged · revoked-key: made before the share's key was changed · foreign-fsid: of no share · former-fsid: of "
        "a share that is gone or was changed · stale-though-live: it should open · not-served, no-answer: nobody "
        "can say now."
    )
    reason: str = Field(description="The verdict in a sentence.")
    share: str | None = Field(default=None, description="The share it belongs to.")
    fsid: UUID | None = Field(default=None, description="The fsid in an NFS file handle.")
    node_id: str | None = Field(default=None, description="FUSE node id, in hex.")
    generation: str | None = Field(default=None, description="FUSE generation, in hex, made with the share's key.")
    native_type: int | None = Field(default=None, description="Type of the native handle.")
    native: str | None = Field(default=None, description="Native handle, in hex.")
    inode: int | None = Field(default=None, description="Inode number on the source.")
    paths: tuple[str, ...] = Field(default=(), description="Its names now, below the share's root.")
    paths_complete: bool = Field(default=True, description="False if the tree was too large to look through all of it.")


def printable(path: bytes) -> str:
    """Return a path for people; bytes that are no UTF-8 become escapes."""
    return path.decode(errors="backslashreplace")
