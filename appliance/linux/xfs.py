"""What XFS tells of itself by ioctl(2): its geometry, and the generation of any inode."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import struct

_FSGEOMETRY = 0x8100587E  # XFS_IOC_FSGEOMETRY: _IOR('X', 126, 256 bytes)
_FSBULKSTAT_SINGLE = 0xC0205866  # XFS_IOC_FSBULKSTAT_SINGLE: _IOWR('X', 102, 32 bytes)
_GEOMETRY_SIZE = 256
_GEOMETRY = struct.Struct("=IIIIIII")  # blocksize, rtextsize, agblocks, agcount, logblocks, sectsize, inodesize
_BULK_REQUEST = struct.Struct("@PiPP")  # struct xfs_fsop_bulkreq: lastip, icount, ubuffer, ocount
_BSTAT_SIZE = 136
_BSTAT_GENERATION = struct.Struct("=108xI")


def inode_bits(descriptor: int) -> int | None:
    """Return how many bits the largest inode number of this filesystem's size takes; None if it is not XFS.

    An inode number is allocation group, block in the group and inode in the block, each in a whole number of bits.
    """
    geometry = bytearray(_GEOMETRY_SIZE)
    try:
        fcntl.ioctl(descriptor, _FSGEOMETRY, geometry)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            return None
        raise
    block_size, _, group_blocks, groups, _, _, inode_size = _GEOMETRY.unpack_from(geometry)
    in_group = (group_blocks - 1).bit_length() + (block_size // inode_size - 1).bit_length()
    return int((groups - 1).bit_length() + in_group)


def generation(descriptor: int, inode: int) -> int | None:
    """Return the generation of an inode in use, None if it is free or there is none. Needs CAP_SYS_ADMIN."""
    wanted = ctypes.c_uint64(inode)
    found = ctypes.c_int32()
    result = ctypes.create_string_buffer(_BSTAT_SIZE)
    request = _BULK_REQUEST.pack(
        ctypes.addressof(wanted), 1, ctypes.addressof(result), ctypes.addressof(found)
    )
    try:
        fcntl.ioctl(descriptor, _FSBULKSTAT_SINGLE, request)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
    return int(_BSTAT_GENERATION.unpack_from(result)[0])
