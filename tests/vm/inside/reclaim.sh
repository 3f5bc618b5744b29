# To be sourced, after the prelude: open files, locks and delegations that must still be there when the server is back.
. "$FILES/second_client.sh"

# `states`: what the server knows its clients to hold. A look through a mount of its own, gone with the process: a
# mount of nfsd that outlives the container would keep the server alive.
states() {
    nsenter --net="/proc/$(docker inspect --format '{{.State.Pid}}' "$(container)")/ns/net" \
        unshare --mount sh -c 'mount -t nfsd nfsd /proc/fs/nfsd && cat /proc/fs/nfsd/clients/*/states'
}

# `held KIND`: how many states of that kind there are for the file that is only read (deleg) or locked (lock).
held() { states | grep --count "type: $1"; }

take() {
    rm -f /run/lock.stop; echo read > /mnt/share/locked.read; : > /mnt/share/locked
    second_client
    python3 "$FILES/lock.py" hold /mnt/share/locked > /run/lock.out 2>&1 < /dev/null & holder=$!
    await 60 grep --quiet locked /run/lock.out
    delegated=$(held deleg) || true
    still_held
}

still_held() {
    test "$(python3 "$FILES/lock.py" try /mnt/second/locked)" = refused
    echo "held: $(held open) open, $(held lock) locked, $(held deleg) delegated of $delegated"
    # A server may give one or not; what it has given has to be there.
    test "$delegated" -eq 0 || test "$(held deleg)" -ge 1
}

let_go() {
    touch /run/lock.stop; wait $holder || { cat /run/lock.out; return 1; }
    test "$(cat /srv/source/locked)" = 'still mine'
    test "$(python3 "$FILES/lock.py" try /mnt/second/locked)" = free
    no_second_client
    rm /mnt/share/locked /mnt/share/locked.read
}
