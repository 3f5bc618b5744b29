#!/bin/bash
# Kill one FUSE worker of the appliance, whichever, every SECONDS until the file STOP appears; print how many were killed.
# Usage: kill_workers.sh SECONDS STOP
killed=0
echo 'at work'
while [ ! -e "$2" ]; do
    sleep "$1"
    victim=$(pgrep -x holdfast-worker | shuf -n 1)
    [ -n "$victim" ] && kill -9 "$victim" && killed=$((killed + 1)) && echo "struck $victim"
done
echo "$killed killed"
