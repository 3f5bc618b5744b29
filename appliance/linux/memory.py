"""The C library's heap: memory that is there before it is needed."""

from __future__ import annotations

import ctypes

from appliance.linux import libc

# Names and numbers of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_mallopt = libc.function("mallopt", ctypes.c_int, ctypes.c_int)
_malloc = libc.function("malloc", ctypes.c_size_t, restype=ctypes.c_void_p)
_free = libc.function("free", ctypes.c_void_p, restype=None)


def settle_heap(size: int) -> None:
    """Have this process's next allocations, up to `size` bytes together, made of pages that it has already touched.

    Raises MemoryError. A forked child must call it again: what it inherits is copied only when it is written to.
    """
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):  # neither a mapping of its own nor given back when freed
        if _mallopt(option, 2 * size) != 1:
            raise MemoryError(f"mallopt refuses {2 * size} bytes")
    block = _malloc(size)
    if not block:
        raise MemoryError(f"malloc refuses {size} bytes")
    ctypes.memset(block, 1, size)
    _free(block)
