"""What a client copies in is what comes out, on the mount and in the source."""

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

MAKE_TREE = r"""
tree=/root/tree
rm -rf $tree; mkdir -p $tree/{empty,deep/a/b/c/d,private}
cp -r /usr/lib/python3.13/json $tree/
head -c 3000000 /dev/urandom > $tree/deep/a/b/c/d/random
truncate --size=50M $tree/sparse; printf end >> $tree/sparse
printf 'bytes' > "$tree/$(printf '\377\376 not utf-8')"
printf 'longest' > "$tree/$(printf 'n%.0s' $(seq 255))"
ln -s 'nowhere at all' $tree/dangling; ln $tree/sparse $tree/hardlink; mkfifo $tree/fifo
chmod 0751 $tree/private; chmod u+s,g+s $tree/deep; chown 1234:4321 $tree/private
touch -d '1999-01-02 03:04:05.678901234' $tree/deep/a
"""

COMPARE = r"""
list() {
    cd "$1"
    find . ! -type d -printf '%p %y %m %U:%G %s %n %l\n'
    find . -type d -printf '%p %y %m %U:%G\n'  # a directory's size and link count belong to its filesystem
    find . ! -type l -printf '%p %TY-%Tm-%Td %TH:%TM:%TS\n'
}
same() {
    diff <(list "$1" | sort) <(list "$2" | sort)
    diff -r --no-dereference -x fifo "$1" "$2"
}
"""


@pytest.mark.parametrize("version", ["4.2", "4.1"])
def test_a_tree_comes_out_as_it_went_in(client: Client, version: str) -> None:
    said = client.run(
        f"""{MAKE_TREE}{COMPARE}
        mkdir -p /mnt/copy; mount -t nfs4 -o vers={version} $(findmnt -no SOURCE /mnt/share) /mnt/copy
        trap 'umount /mnt/copy' EXIT
        rm -rf /mnt/copy/tree; cp -a $tree /mnt/copy/tree
        same $tree /mnt/copy/tree
        same $tree /srv/source/tree
        echo 3 > /proc/sys/vm/drop_caches
        same $tree /mnt/copy/tree
        rm -r /mnt/copy/tree; test ! -e /srv/source/tree
        findmnt -no OPTIONS /mnt/copy
        """,
        timeout=900,
    )
    assert f"vers={version}" in said


def test_names_that_come_and_go_at_the_source_do_so_for_the_client(client: Client) -> None:
    # A file that the client has opened would be delegated to it: it keeps that, name and all, without asking again.
    client.run(
        """
        echo from-behind > /srv/source/behind; echo second > /srv/source/second
        await 180 test -e /mnt/share/behind
        test "$(cat /mnt/share/behind)" = from-behind
        await 180 test -s /mnt/share/second
        rm /srv/source/second
        await 180 test ! -e /mnt/share/second
        rm /mnt/share/behind; test ! -e /srv/source/behind
        """
    )
