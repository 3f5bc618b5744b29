#!/bin/bash
# Kill one FUSE worker of the appliance, whichever, every SECONDS until /run/calm appears; print how many were killed.
# Usage: kill_workers.sh SECONDS
rm -f /run/calm
killed=0
while [ ! -e /run/calm ]; do
    sleep "$1"
    victim=$(pgrep -x holdfast-worker | shuf -n 1)
    [ -n "$victim" ] && kill -9 "$victim" && killed=$((killed + 1))
done
echo "$killed killed"
