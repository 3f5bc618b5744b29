"""The FUSE tier: the daemon behind this machine's own kernel, on loop filesystems."""
