"""A virtual machine with Debian's own kernel, for machines without an NFS server in the kernel or a Docker engine."""
