# To be sourced: a network namespace of this machine, which to the server is a second NFS client, with a mount of its own.
# `second_client` makes it, with the share at /mnt/second, and `no_second_client` ends it.
second() { ip netns exec second "$@"; }
# `ip netns exec` has a mount namespace of its own: what is to be seen here is mounted from here, in that network.
mount_second() { mkdir -p /mnt/second; nsenter --net=/run/netns/second mount "$@" /mnt/second; }

second_client() {
    second_network
    mount_second -t nfs4 -o vers=4.2 "$(findmnt --noheadings --output SOURCE /mnt/share)"
}

second_network() {
    ip netns add second
    ip link add to-second type veth peer name eth0 netns second
    ip address add 10.77.0.1/24 dev to-second; ip link set to-second up
    second ip address add 10.77.0.2/24 dev eth0; second ip link set eth0 up; second ip link set lo up
    second ip route add default via 10.77.0.1
    # The server tells clients apart by their name for themselves, which is else the host's.
    second sh -c 'echo second-client > /sys/fs/nfs/net/nfs_client/identifier'
}

# ADDRESS PATH: the same by NFSv3. Docker lets nobody through to ports that it does not publish, which these are; and who
# locks files needs rpcbind and rpc.statd on his own side, with sockets and a state that are not this machine's.
second_v3_client() {
    second_network
    iptables --insert DOCKER-USER --in-interface to-second --jump ACCEPT
    nsenter --net=/run/netns/second unshare --mount bash -c '
        mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib/nfs
        mkdir -p /run/rpcbind /var/lib/nfs/sm /var/lib/nfs/sm.bak
        rpcbind -f & rpc.statd --no-notify --foreground & wait' > /run/second.out 2>&1 < /dev/null & second_daemons=$!
    registered() { second rpcinfo -T tcp 127.0.0.1 status; }
    await 60 registered || { cat /run/second.out; return 1; }
    mount_second -t nfs -o vers=3 "$1:$2"
}

no_second_client() {
    umount -f /mnt/second 2>/dev/null || true
    if [ -n "${second_daemons:-}" ]; then
        kill $(pgrep --parent $second_daemons) 2>/dev/null || true
        iptables --delete DOCKER-USER --in-interface to-second --jump ACCEPT || true
        second_daemons=
    fi
    ip link delete to-second 2>/dev/null || true
    ip netns delete second 2>/dev/null || true
}
