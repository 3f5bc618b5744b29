"""The kernel's keyrings, which container engines' seccomp profiles forbid (add_key(2), keyctl(2))."""

from __future__ import annotations

import ctypes

_SESSION_KEYRING = -3  # KEY_SPEC_SESSION_KEYRING


def allowed() -> bool:
    """Whether this process, and what it starts, may use them. Makes none."""
    try:
        library = ctypes.CDLL("libkeyutils.so.1", use_errno=True)
    except OSError:
        return False
    found: int = library.keyctl_get_keyring_ID(_SESSION_KEYRING, 0)
    return found != -1
