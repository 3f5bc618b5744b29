"""The kernel's NFS server: exports, daemons, and what /proc tells of it."""
