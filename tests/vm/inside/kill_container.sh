# To be sourced, after the prelude, with a number of times: the container is killed with the requests of dozens of programs
# in flight, and started again. Prints a line for each time.
# Before each kill but the first another part of the appliance dies, so that the order of deaths is never the same.
. "$FILES/nothing_is_left.sh"
parts=(nothing holdfast holdfast-pool holdfast-worker rpc.mountd nfsdcld)
programs=48

in_flight() { ps --no-headers --ppid "$crowd" -o stat= | grep --count '^D' || true; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
rm -f /run/crowd.stop
python3 "$FILES/crowd.py" /mnt/share/crowd $programs /run/crowd.stop > /run/crowd.out 2>&1 < /dev/null & crowd=$!
sleep 5
for round in $(seq 1 "$1"); do
    part=${parts[(round - 1) % ${#parts[@]}]}
    [ "$part" = nothing ] || pkill -9 --newest -x "$part"
    waiting=$(in_flight); began=$(milliseconds)
    docker kill "$(container)" > /dev/null; docker wait "$(container)" > /dev/null; died=$(milliseconds)
    await 300 nothing_is_left
    docker start "$(container)" > /dev/null; await_ready
    echo "round $round: $part killed first, $waiting programs waiting, dead after $((died - began)) ms"
    sleep 3
done
touch /run/crowd.stop
wait $crowd || { cat /run/crowd.out; exit 1; }
cat /run/crowd.out
