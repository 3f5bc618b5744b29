# To be sourced, after the prelude: a systemd of its own, as process 1 of namespaces of this machine, network included.
# `manager_starts`, then `managed COMMAND...` there, and `manager_ends`. Its units are this machine's; /run is its own.
managed() { nsenter --target "$manager" --mount --pid --net --uts --ipc --cgroup "$@"; }

manager_starts() {
    mkdir -p /sys/fs/cgroup/manager
    (
        echo "$BASHPID" > /sys/fs/cgroup/manager/cgroup.procs
        exec unshare --mount --propagation slave --pid --fork --kill-child --cgroup --net --uts --ipc bash -c '
            mount -t proc proc /proc
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
            mount -t tmpfs -o mode=755 tmpfs /run
            ip link set lo up
            exec env --ignore-environment PATH="$PATH" container=lab /usr/lib/systemd/systemd --unit=basic.target \
                systemd.mask=systemd-udevd.service systemd.mask=systemd-udev-trigger.service'
    ) > /run/manager.out 2>&1 < /dev/null & outside=$!
    begun() { manager=$(pgrep --parent "$outside" -x systemd); }
    await 120 begun
    manager=$(pgrep --parent "$outside" -x systemd)
    up() { managed systemctl is-active basic.target; }
    await 300 up || { cat /run/manager.out; return 1; }
}

manager_ends() {
    kill -KILL "$manager" 2> /dev/null || true
    wait "$outside" 2> /dev/null || true
    empty() { rmdir $(find /sys/fs/cgroup/manager -depth -type d); }
    await 60 empty
}
