# To be sourced in the virtual machine: what is compared there, and one turn of work over NFS.
# Each server is in a network namespace of its own, at one bridge; the appliance's container is so by itself.
home=/root/bench
options=vers=4.2,rsize=524288,wsize=524288
mountpoint=/mnt/bench

api() {  # METHOD PATH [JSON]: fails on any status that is not 2xx
    curl --silent --show-error --fail-with-body --max-time 180 --request "$1" "$HOLDFAST_URL$2" \
        --header "Authorization: Bearer $HOLDFAST_TOKEN" ${3:+--json "$3"}
}

await() {  # SECONDS COMMAND...: until the command succeeds
    local end=$((SECONDS + $1)); shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "gave up waiting for: $*"; return 1; }
        sleep 0.2
    done
}

# KIND DEVICE: an empty filesystem at /srv/bench-KIND, with a directory for each of the peers.
disk() {
    case $1 in
        ext4) mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$2" ;;
        xfs) mkfs.xfs -q -f "$2" ;;
    esac
    mkdir -p "/srv/bench-$1"
    mount "$2" "/srv/bench-$1"
    mkdir "/srv/bench-$1/native" "/srv/bench-$1/ganesha"
}

network() {
    ip link add bench type bridge
    ip address add 10.78.0.1/24 dev bench
    ip link set bench up
    local name number=2
    for name in native ganesha; do
        ip netns add $name
        ip link add "to-$name" type veth peer name eth0 netns $name
        ip link set "to-$name" master bench up
        ip -n $name address add 10.78.0.$number/24 dev eth0
        ip -n $name link set eth0 up
        ip -n $name link set lo up
        number=$((number + 1))
    done
}

# NAME KIND...: start a server with these filesystems; its process ids are in $home/NAME.pids.
serve() {
    local name=$1; shift
    ip netns exec "$name" setsid unshare --mount --uts "$home/$name.sh" "$@" > "$home/$name.log" 2>&1 < /dev/null &
    await 120 grep -qx "$name serves" "$home/$name.log" || { cat "$home/$name.log"; return 1; }
}

# The kernel lets a filesystem go only when its servers are gone; their namespaces go with them.
end() {
    local name kind
    for name in native ganesha; do
        ip netns pids $name 2> /dev/null | xargs --no-run-if-empty kill -9 || true
        ended() { [ -z "$(ip netns pids $name 2> /dev/null)" ]; }
        await 60 ended
        ip netns delete $name 2> /dev/null || true
        ip link delete to-$name 2> /dev/null || true
    done
    ip link delete bench 2> /dev/null || true
    for kind in ext4 xfs; do
        ! mountpoint --quiet /srv/bench-$kind || await 60 umount /srv/bench-$kind
        rmdir /srv/bench-$kind 2> /dev/null || true
    done
    rmdir $mountpoint 2> /dev/null || true
}

# SETTING=VALUE: another container of the same image and compose file. `second COMMAND...` has a command ask its API.
begin_second() {
    mkdir -p $home/second
    echo "$1" > $home/second/env
    second_compose up --detach --no-build
    echo "http://10.0.2.15:8081" > $home/second/url
    second_ready() { curl --silent --fail --max-time 10 "$(cat $home/second/url)/readyz"; }
    await 600 second_ready || { second_compose logs; return 1; }
    second_compose exec -T holdfast cat /var/lib/holdfast/api-token > $home/second/token
}
second_compose() {
    HOLDFAST_API_BIND=10.0.2.15:8081 HOLDFAST_NFS_BIND=127.0.0.1:2050 HOLDFAST_ENV_FILE=$home/second/env \
        HOLDFAST_CONFIG=$home/second docker compose --project-name second --file /root/holdfast/compose.yaml "$@"
}
second() { HOLDFAST_URL=$(cat $home/second/url) HOLDFAST_TOKEN=$(cat $home/second/token) "$@"; }
end_second() { second_compose down --volumes; }

# PROJECT: the address of the appliance's container.
address() {
    docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' \
        "$(docker ps --quiet --filter "label=com.docker.compose.project=$1")"
}

# Files of Debian's rust-src: the first so many by their paths, and their directories.
make_archive() {
    # Not `head`, which would end before those that write to it.
    (cd /usr/lib/rustlib/src/rust/library && find -L core alloc std -type f | LC_ALL=C sort | awk "NR <= $1" \
        | tar --create --dereference --file "$home/tree.tar" --files-from -)
}

# SOURCE SHARE WORKLOADS SIZE: mount, work, unmount. A share is served only meanwhile: it hears of its neighbours' changes
# of the filesystem (fanotify), and these would pay for it.
turn() {
    [ -z "$2" ] || api PATCH "/v1/shares/$2" '{"enabled": true}' > /dev/null
    mkdir -p $mountpoint
    mount -t nfs4 -o "$options" "$1" $mountpoint
    # At a client's first open the server puts it on record: nobody's create shall pay for that.
    touch $mountpoint/first && rm $mountpoint/first
    local status=0
    python3 $home/work.py "$3" $mountpoint "$4" $home/tree.tar || status=$?
    await 60 umount $mountpoint
    [ -z "$2" ] || api PATCH "/v1/shares/$2" '{"enabled": false}' > /dev/null
    return $status
}

# WHAT=TIMES...: how long clients of the share "share" wait. It is served and mounted again, if it is not.
recovery() {
    if ! mountpoint --quiet /mnt/share; then
        api PATCH /v1/shares/share '{"enabled": true}' > /dev/null
        mount -t nfs4 -o vers=4.2 10.0.2.15:/share /mnt/share
    fi
    python3 $home/gaps.py /mnt/share "$@"
}

facts() {
    echo "client and servers: Linux $(uname -r), $(nproc) processors, $(free -m | awk '/^Mem:/ { print $2 }') MiB"
    echo "nfs-ganesha: $(dpkg-query --show --showformat '${Version}' nfs-ganesha-vfs)"
    echo "source tree: $(tar -tf $home/tree.tar | wc -l) files, $(du -k $home/tree.tar | cut -f 1) KiB, of rust-src $(dpkg-query --show --showformat '${Version}' rust-src)"
    echo "mount options: $options"
    echo "data path of Holdfast: $(api GET /v1/shares/share | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"]["data_path"])')"
}
