# What this extension has to know of pyfuse3's own types. Cython compares their sizes when it is imported, and refuses
# to be if pyfuse3 was built otherwise; tests/unit/test_fuse_native.py and the FUSE tier show that the fields are right.

from libc.stdint cimport int32_t, uint64_t
from posix.types cimport dev_t, mode_t, off_t

cdef extern from "fuse3/fuse_lowlevel.h":
    ctypedef uint64_t fuse_ino_t

    struct fuse_req:
        pass

    ctypedef fuse_req *fuse_req_t

    struct fuse_file_info:
        uint64_t fh
        int32_t backing_id

cdef extern from "sys/stat.h":
    struct struct_stat "stat":
        pass


cdef class FileInfo:
    cdef public uint64_t fh
    cdef public bint direct_io
    cdef public bint keep_cache
    cdef public bint nonseekable

    cdef _copy_to_fuse(self, fuse_file_info *out)


cdef class _Container:
    cdef dev_t rdev
    cdef fuse_file_info fi
    cdef fuse_ino_t ino
    cdef fuse_ino_t parent
    cdef fuse_req_t req
    cdef int flags
    cdef mode_t mode
    cdef off_t off
    cdef size_t size
    cdef struct_stat stat
    cdef uint64_t fh
