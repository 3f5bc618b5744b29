# cython: language_level=3
"""What pyfuse3's answer to OPEN and CREATE lacks: a backing id, so that the kernel reads and writes the file itself.

And one thing that libfuse tells nobody: the number of the request that is being answered. With it, whoever comes after
a worker that died at an OPEN knows whether the answer had been sent.
"""

from libc.stdint cimport int32_t, uint64_t

from pyfuse3 cimport FileInfo, _Container, fuse_file_info


cdef struct request_head:
    # The head of libfuse's struct fuse_req (lib/fuse_i.h), the same in all of libfuse 3.
    void *session
    uint64_t unique


cdef _Container _sample = _Container()
cdef size_t _INFO_OFFSET = <char *> &_sample.fi - <char *> <void *> _sample


cdef class OpenReply(FileInfo):
    """An answer to OPEN or CREATE. `before_reply` is called with the request's number just before it is sent."""

    cdef int32_t backing_id
    cdef object before_reply

    def __init__(self, fh, backing_id, before_reply):
        """`backing_id` 0 leaves reads and writes to the daemon."""
        # FileInfo has taken these arguments for its own. Of the flags none may be set: DIRECT_IO would have the worker
        # read and write all the same, and with KEEP_CACHE the kernel refuses the answer.
        self.fh = fh
        self.direct_io = self.keep_cache = self.nonseekable = False
        self.backing_id = backing_id
        self.before_reply = before_reply

    cdef _copy_to_fuse(self, fuse_file_info *out):
        FileInfo._copy_to_fuse(self, out)
        out.backing_id = self.backing_id
        # pyfuse3 passes the address of a field of the object in which it keeps the request.
        cdef _Container request = <_Container> <void *> (<char *> out - _INFO_OFFSET)
        self.before_reply((<request_head *> request.req).unique)
