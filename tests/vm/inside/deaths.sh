# To be sourced, after the prelude: who runs in the container, and what dies there alone.

# OPTIONS... PATTERN, as pgrep takes them.
pids() { docker exec "$(container)" pgrep "$@" | sort | tr '\n' ' '; }

# PID...: all of them still run.
run_on() {
    local pid now
    now=$(pids .)
    for pid; do grep --quiet --word-regexp "$pid" <<< "$now" || { echo "$pid is gone"; return 1; }; done
}

# OPTIONS... PATTERN: the process is killed, and there is another.
replaced() {
    local old
    old=$(pids "$@")
    docker exec "$(container)" kill -9 $old
    successor() { test -n "$(pids "$@")" && test "$(pids "$@")" != "$old"; }
    await 300 successor "$@"
}

# How often the container was started again, and when it was for the last time.
life() { docker inspect --format '{{.RestartCount}} {{.State.StartedAt}}' "$(container)"; }
