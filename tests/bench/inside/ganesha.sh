#!/bin/bash
# nfs-ganesha with FSAL_VFS, in namespaces of its own, as `nfs.sh` starts it: `ganesha.sh KIND...`
# Debian's defaults but for what it needs to run here and the kernel server's lease. It serves for as long as this runs.
set -eu
hostname ganesha
mount --make-rprivate /
configuration=$(dirname "$0")/ganesha.conf
log=$(dirname "$0")/ganesha.events
{
    echo "NFS_CORE_PARAM { Protocols = 4; allow_set_io_flusher_fail = true; }"
    echo "NFSv4 { Grace_Period = 10; Lease_Lifetime = 30; Minor_Versions = 1, 2; }"
    number=1
    for kind; do
        echo "EXPORT { Export_Id = $number; Path = /srv/bench-$kind/ganesha; Pseudo = /srv/bench-$kind/ganesha;"
        echo "    Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Protocols = 4; FSAL { Name = VFS; } }"
        number=$((number + 1))
    done
} > "$configuration"
ln -sf /proc/self/mounts /etc/mtab
mkdir -p /run/ganesha /var/lib/nfs/ganesha
ganesha.nfsd -F -L "$log" -f "$configuration" -p /run/ganesha/bench.pid &
until grep -q 'NFS SERVER INITIALIZED' "$log"; do
    kill -0 $! || { cat "$log"; exit 1; }
    sleep 0.2
done
echo "ganesha serves"
wait
