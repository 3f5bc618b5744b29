# To be sourced, after the prelude: open files, locks and delegations that must still be there when the server is back.
. "$FILES/second_client.sh"

# `states`: what the server knows its clients to hold. A look through a mount of its own, gone with the process: a
# mount of nfsd that outlives the container would keep the server alive.
states() {
    nsenter --net="/proc/$(docker inspect --format '{{.State.Pid}}' "$(container)")/ns/net" \
        unshare --mount sh -c 'mount -t nfsd nfsd /proc/fs/nfsd && cat /proc/fs/nfsd/clients/*/states'
}

# FILE...: how nfsd's states end what they tell of the inode, its number as a signed one. The name that they have beside
# it is no use: whoever reclaims a file names it by its handle.
inodes() {
    local number
    for number in $(stat --format %i "$@"); do echo ":$((number))\""; done
}

# KIND INODES: how many states of that kind (open, lock, deleg) clients have on these.
held() { states | grep "type: $1," | grep --count --fixed-strings "$2" || true; }

# A server gives a delegation or not: lock.py opens one file after the other until one was given.
take() {
    local number
    rm -f /run/lock.*; : > /mnt/share/locked
    for number in 1 2 3 4 5 6 7 8; do echo "read $number" > /mnt/share/locked.read$number; done
    locked_inode=$(inodes /mnt/share/locked) read_inodes=$(inodes /mnt/share/locked.read*)
    second_client
    python3 "$FILES/lock.py" hold /mnt/share/locked > /run/lock.out 2>&1 < /dev/null & holder=$!
    delegated() { test "$(held deleg "$read_inodes")" -ge 1; }
    await 120 delegated || { cat /run/lock.out; return 1; }
    touch /run/lock.enough
    await 60 grep --quiet locked /run/lock.out
    delegations=$(held deleg "$read_inodes")
    still_held
}

# tests/vm/holding.py judges what it prints.
still_held() {
    test "$(python3 "$FILES/lock.py" try /mnt/second/locked)" = refused
    echo "held: $(held open "$locked_inode") open, $(held lock "$locked_inode") locked," \
        "$(held deleg "$read_inodes") of $delegations delegated"
}

let_go() {
    touch /run/lock.stop; wait $holder || { cat /run/lock.out; return 1; }
    test "$(cat /srv/source/locked)" = 'still mine'
    test "$(python3 "$FILES/lock.py" try /mnt/second/locked)" = free
    no_second_client
    rm /mnt/share/locked /mnt/share/locked.read*
}
