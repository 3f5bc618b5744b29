"""The key of a share: what makes a handle a capability.

The kernel compares the generation of an entry with the one in a handle that it decodes. Ours is a message
authentication code of the inode's identity, so a handle that no look-up inside the share has given out does not open
anything, although its node id is easily guessed. With another key all handles ever given out are stale.
"""

from __future__ import annotations

import hashlib
import secrets

KEY_SIZE = 32  # bytes
NO_KEY = bytes(KEY_SIZE)  # for a mount without NFS, whose handles nobody can forge who could not open the files anyway

_GENERATION_SIZE = 4  # a FUSE handle has room for 32 bits of generation


def new_key() -> bytes:
    """Return a key that nobody has had before."""
    return secrets.token_bytes(KEY_SIZE)


class HandleKey:
    """Makes generations with one key."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=_GENERATION_SIZE)

    def generation(self, identity: bytes) -> int:
        """Return the 32-bit generation of the inode that `identity` (of its codec) describes."""
        digest = self._keyed.copy()
        digest.update(identity)
        return int.from_bytes(digest.digest(), "little")
