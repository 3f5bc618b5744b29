"""Containers beside the appliance's, for scripts: with the same rights but for what is said."""

# `beside NAME THING [OPTION...] [-- COMMAND...]`: as compose.yaml starts it, without that thing and with those options.
# It has no network, ends by itself, and its status and last words are printed below the line "== NAME".
BESIDE = r"""
of() { docker inspect --format "$1" $(container); }
image=$(of '{{.Image}}')
rights=$(of '{{range .HostConfig.CapAdd}}--cap-add {{.}} {{end}}')
places=$(of '{{range $place, $options := .HostConfig.Tmpfs}}{{$place}}:{{$options}} {{end}}')
devices=$(of '{{range .HostConfig.Devices}}{{.PathOnHost}} {{end}}')
beside() {
    local name=$1 thing=$2 options=() state=rw status=0 place device; shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
    [ $# = 0 ] || shift
    for place in $places; do [ "${place%%:*}" = "$thing" ] || options+=(--tmpfs "$place"); done
    for device in $devices; do [ "$device" = "$thing" ] || options+=(--device "$device"); done
    [ "$thing" = apparmor ] || options+=(--security-opt apparmor=unconfined)
    [ "$thing" != state ] || state=ro
    [ "$thing" = /srv ] || options+=(--volume /srv:/srv:rslave)
    timeout 600 docker run --rm --name beside --network none --cap-drop ALL $rights "${options[@]}" --read-only \
        --volume "beside:/var/lib/holdfast:$state" --security-opt no-new-privileges \
        --security-opt seccomp=/root/holdfast/deploy/seccomp.json "$image" "$@" \
        > /run/beside.out 2>&1 || status=$?
    docker rm --force beside > /dev/null 2>&1 || true
    docker volume rm beside > /dev/null
    echo "== $name"; echo "status $status"; tail -n 3 /run/beside.out
}
"""


def endings(said: str) -> dict[str, str]:
    """Return by name how each of these containers ended: a line with its status, and its last words."""
    return dict(part.split("\n", 1) for part in said.split("== ")[1:])
