"""What shares say of their clients, as exportfs and the kernel have it; and shares that a file describes."""

import re

import pytest

from tests.vm.conftest import INSIDE, Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def test_exportfs_understands_what_was_meant_whatever_the_names(client: Client) -> None:
    assert (INSIDE / "hostile_exports.py").exists()
    said = client.run(
        """
        image=$(docker inspect --format '{{.Image}}' $(container))
        docker run --rm --privileged --network none --tmpfs /run --interactive $image python - \
            < $FILES/hostile_exports.py 2>&1
        """
    )
    assert "160 lines are as they were meant" in said


# Whoever may pass the root and not mount a share finds an empty directory in its place, which nobody can write to.
_PREPARE = """
server=$(findmnt -no SOURCE /mnt/share); server=${server%%:*}
mount_of() { mkdir -p /mnt/$1; mount -t nfs4 -o vers=4.2 $server:/$1 /mnt/$1; }
"""

# The container's name service: /etc/hosts, which the engine keeps beside the container, and the file of netgroups. This
# machine calls its own address, so it calls from there.
_NAMES = """
mkdir -p /srv/named
hosts=$(docker inspect --format '{{.HostsPath}}' $(container)); before=$(cat $hosts)
tidy() {
    umount /mnt/named 2> /dev/null || true
    api DELETE /v1/shares/named > /dev/null || true
    rm -f /root/holdfast/config/netgroup
    echo "$before" > $hosts
}
trap tidy EXIT
printf '%s\\n' "$before" "$server desk.lab.example.org" "192.0.2.9 elsewhere.example.org" > $hosts
printf '%s\\n' "farm (desk.lab.example.org,,)" "ranch (192.0.2.9,,)" > /root/holdfast/config/netgroup
api POST /v1/shares '{"name": "named", "source": "/srv/named"}' > /dev/null
try() {
    api PATCH /v1/shares/named "{\\"clients\\": [{\\"$1\\": \\"$2\\", $rest}]}" > /dev/null
    mount_of named
    if echo "$2" 2> /dev/null > /mnt/named/file; then
        said="let in: $(cat /srv/named/file)"
    else
        said="kept out: $2"
    fi
    echo "$said"
    umount /mnt/named
}
rest='"access": "rw", "squash": "none", "secure_ports": false'
"""


def test_netgroups_host_names_and_patterns_let_in_whom_they_name(client: Client) -> None:
    said = client.run(
        f"""{_PREPARE}{_NAMES}
        try netgroup farm; try host desk.lab.example.org; try wildcard '*.lab.example.org'
        try netgroup ranch; try host 192.0.2.9; try wildcard '*.other.example.org'
        """,
        timeout=900,
    )
    assert re.findall(r"^let in: (.*)$", said, re.MULTILINE) == ["farm", "desk.lab.example.org", "*.lab.example.org"]
    assert re.findall(r"^kept out: (.*)$", said, re.MULTILINE) == ["ranch", "192.0.2.9", "*.other.example.org"]


_FILE = """
mkdir -p /srv/filed /root/holdfast/config; cd /root/holdfast/config
put() { echo "$1" > .new; mv .new shares.yaml; }
filed="{name: filed, source: /srv/filed, comment: @, clients: [
  {network: 0.0.0.0/0, access: rw, squash: none, secure_ports: false}]}"
is() { [[ $(api GET /v1/config/file) == *'"state":"'$1'"'* ]]; }
shared() { [[ $(api GET /v1/shares/filed) == *'"comment":"'$1'"'*'"owner":"file"'* ]]; }
gone() { [[ $(api GET /v1/shares/filed) == *share-not-found* ]]; }
tidy() {
    umount /mnt/filed 2> /dev/null || true
    put 'shares: []'; await 600 gone
    rm shares.yaml; await 600 is absent
}
trap tidy EXIT
"""


def test_a_file_of_shares_is_in_force_from_the_start_and_on_every_change(client: Client) -> None:
    client.run(
        f"""{_PREPARE}{_FILE}
        docker stop --time 60 $(container)
        put "shares: [${{filed/@/at-start}}]"
        docker start $(container)
        await 600 shared at-start; await_ready
        mount_of filed
        echo kept > /mnt/filed/file; test "$(cat /srv/filed/file)" = kept
        [[ $(api DELETE /v1/shares/filed || true) == *owned-by-file* ]]
        put "shares: [${{filed/@/changed}}]"
        await 600 shared changed
        put 'shares: ['
        await 600 is refused
        shared changed; test "$(cat /mnt/filed/file)" = kept
        umount /mnt/filed
        put 'shares: []'
        await 600 gone
        api GET /v1/shares/share > /dev/null
        """,
        timeout=900,
    )


def test_a_new_appliance_with_nothing_but_a_file_exports_its_shares(client: Client) -> None:
    client.run(
        """
        mkdir -p /srv/only /root/only /mnt/only
        cat > /root/only/shares.yaml << 'END'
        shares:
          - name: only
            source: /srv/only
            clients: [{network: 0.0.0.0/0, access: rw, squash: none, secure_ports: false}]
END
        other() {
            export HOLDFAST_CONFIG=/root/only HOLDFAST_NFS_BIND=127.0.0.1:12049 HOLDFAST_API_BIND=127.0.0.1:18080
            docker compose --project-name only --file /root/holdfast/compose.yaml "$@"
        }
        gone() { umount -f /mnt/only 2> /dev/null || true; other down --volumes; rm -r /root/only /srv/only; }
        trap gone EXIT
        other up --detach --no-build
        serves() { curl --silent --fail --max-time 10 http://127.0.0.1:18080/readyz; }
        await 900 serves
        inspect() { docker inspect --format "$1" $(other ps --quiet holdfast); }
        address=$(inspect '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')
        mount -t nfs4 -o vers=4.2 $address:/only /mnt/only
        echo only > /mnt/only/file; test "$(cat /srv/only/file)" = only
        """,
        timeout=1500,
    )
