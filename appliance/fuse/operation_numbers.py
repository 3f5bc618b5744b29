"""The operations of workers by the numbers that stand for them in shared memory, and the requests that they serve."""

from __future__ import annotations

from appliance.fuse.requests import Opcode

# Each operation, and the requests in whose course it is called. Its number is its index.
REQUESTS: dict[str, tuple[Opcode, ...]] = {
    "lookup": (Opcode.LOOKUP,),
    "getattr": (Opcode.GETATTR,),
    "setattr": (Opcode.SETATTR,),
    "readlink": (Opcode.READLINK,),
    "mknod": (Opcode.MKNOD,),
    "mkdir": (Opcode.MKDIR,),
    "symlink": (Opcode.SYMLINK,),
    "link": (Opcode.LINK,),
    "unlink": (Opcode.UNLINK,),
    "rmdir": (Opcode.RMDIR,),
    "rename": (Opcode.RENAME, Opcode.RENAME2),
    "create": (Opcode.CREATE,),
    "open": (Opcode.OPEN,),
    "read": (Opcode.READ,),
    "write": (Opcode.WRITE,),
    "flush": (Opcode.FLUSH,),
    "release": (Opcode.RELEASE,),
    "fsync": (Opcode.FSYNC,),
    "opendir": (Opcode.OPENDIR,),
    "readdir": (Opcode.READDIR, Opcode.READDIRPLUS),
    "releasedir": (Opcode.RELEASEDIR,),
    "fsyncdir": (Opcode.FSYNCDIR,),
    "statfs": (Opcode.STATFS,),
    "setxattr": (Opcode.SETXATTR,),
    "getxattr": (Opcode.GETXATTR, Opcode.SETXATTR),  # pyfuse3 asks itself, for XATTR_CREATE and XATTR_REPLACE
    "listxattr": (Opcode.LISTXATTR,),
    "removexattr": (Opcode.REMOVEXATTR,),
    "access": (Opcode.ACCESS,),
}
OPERATIONS = tuple(REQUESTS)


def operation_of(opcode: int) -> str:
    """Return the operation that a request is first of all about; libfuse answers some requests by itself."""
    return next((verb for verb, opcodes in REQUESTS.items() if opcode in opcodes), f"request {opcode}")
