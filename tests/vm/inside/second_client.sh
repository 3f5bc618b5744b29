# To be sourced: a network namespace of this machine, which to the server is a second NFS client, with a mount of its own.
# `second_client` makes it, with the share at /mnt/second, and `no_second_client` ends it.
second() { ip netns exec second "$@"; }

second_client() {
    ip netns add second
    ip link add to-second type veth peer name eth0 netns second
    ip address add 10.77.0.1/24 dev to-second; ip link set to-second up
    second ip address add 10.77.0.2/24 dev eth0; second ip link set eth0 up; second ip link set lo up
    second ip route add default via 10.77.0.1
    # The server tells clients apart by their name for themselves, which is else the host's.
    second sh -c 'echo second-client > /sys/fs/nfs/net/nfs_client/identifier'
    mkdir -p /mnt/second
    # `ip netns exec` has a mount namespace of its own: the mount has to be made from here, in that network.
    nsenter --net=/run/netns/second mount -t nfs4 -o vers=4.2 "$(findmnt --noheadings --output SOURCE /mnt/share)" /mnt/second
}

no_second_client() {
    umount -f /mnt/second 2>/dev/null || true
    ip link delete to-second 2>/dev/null || true
    ip netns delete second 2>/dev/null || true
}
