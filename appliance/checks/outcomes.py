"""What can become of a handle, and what one can mean: words that also programs outside of the checks use."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What became of a handle. Only `drift` breaks the promise; `unanswered` says that nobody can tell."""

    SAME = "same"
    MOVED = "moved"
    DELETED = "deleted"
    REVOKED = "revoked"
    DRIFT = "drift"
    UNANSWERED = "unanswered"


class Drift(StrEnum):
    """How a handle broke its promise."""

    ANOTHER_FILE = "another-file"
    NODE_REUSED = "node-reused"
    REPLACED = "replaced"
    RESTORED = "restored"
    SOURCE_REPLACED = "source-replaced"
    FSID_CHANGED = "fsid-changed"
    KEY_CHANGED = "key-changed"
    WRONG_KEY = "wrong-key"
    NODE_CHANGED = "node-changed"
    OPENS_DELETED = "opens-deleted"
    OPENS_REVOKED = "opens-revoked"
    STALE = "stale"


class Meaning(StrEnum):
    """The verdict on a handle."""

    LIVE = "live"
    STALE_THOUGH_LIVE = "stale-though-live"
    FREED = "freed-inode"
    BAD_MAC = "bad-mac"
    REVOKED_KEY = "revoked-key"
    FOREIGN_FSID = "foreign-fsid"
    FORMER_FSID = "former-fsid"
    NOT_SERVED = "not-served"
    NO_ANSWER = "no-answer"
    UNKNOWN = "unknown"
