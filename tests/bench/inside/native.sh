#!/bin/bash
# The kernel's own NFS server, in network, mount and UTS namespaces of its own, as `nfs.sh` starts it: `native.sh KIND...`
# With the appliance's settings: eight threads, NFSv4.1 and 4.2, sync. It serves for as long as this runs.
set -eu
hostname native  # by which clients tell servers apart
mount --make-rprivate /
mount -t tmpfs tmpfs /var/lib/nfs
mkdir -p /var/lib/nfs/nfsdcld /run/rpc_pipefs /etc/exports.d
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
mount -t nfsd nfsd /proc/fs/nfsd
mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs
mount -t tmpfs tmpfs /etc/exports.d
for kind; do
    echo "/srv/bench-$kind/native *(rw,sync,no_root_squash,no_subtree_check,insecure)"
done > /etc/exports.d/native.exports
nfsdcld
exportfs -r
rpc.mountd -N 3
rpc.nfsd -N 3 -G 10 -L 30 8
echo "native serves"
exec sleep infinity
