# To be sourced, after the prelude: what clients do, and what dies, in the background while a script goes on.
declare -A begun

# NAME COMMAND...: start it; it has said "at work" when this returns, and ends when /run/NAME.stop appears.
# It has $patience seconds for that.
begin() {
    local name=$1; shift
    rm -f "/run/$name.stop"
    "$@" > "/run/$name.out" 2>&1 < /dev/null & begun[$name]=$!
    at_work() { grep --quiet 'at work' "/run/$name.out" || ! kill -0 "${begun[$name]}"; }
    await ${patience:-300} at_work
}

# NAME...: have each stop, and print what it said. Fails if it has failed.
finish() {
    local name
    for name; do touch "/run/$name.stop"; done
    for name; do
        wait "${begun[$name]}" || { cat "/run/$name.out"; return 1; }
        cat "/run/$name.out"
    done
}

# NAME [DIRECTORY]: a client changes names and contents in there.
storm() { begin "$1" python3 "$FILES/storm.py" "${2:-/mnt/share}/$1" 86400; }

# A client holds a file open and writes to it all the time. /run/held.out tells of the pauses.
hold() { rm -f /mnt/share/held; begin held python3 "$FILES/hold.py" /mnt/share/held; }
hold_no_more() { finish held; rm /mnt/share/held; }

# SECONDS: one worker after the other dies. `struck N` tells whether so many have.
strike() { begin strikes "$FILES/kill_workers.sh" "$1" /run/strikes.stop; }
struck() { test "$(grep --count '^struck' /run/strikes.out)" -ge "$1"; }
