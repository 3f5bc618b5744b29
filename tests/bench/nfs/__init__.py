"""Holdfast, the kernel's own NFS server and nfs-ganesha, side by side in one virtual machine."""
