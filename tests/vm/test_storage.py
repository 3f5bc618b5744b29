"""Storage that fails, hangs, goes and comes back under real knfsd: what NFS clients see of it."""

from __future__ import annotations

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]


def test_errors_of_a_device_are_told_and_what_hangs_is_waited_for(client: Client) -> None:
    said = client.run(
        """
        . $FILES/device.sh
        trap 'no_share_on faulty; no_faulty' EXIT
        faulty; share_on faulty /dev/mapper/faulty
        storm elsewhere
        head --bytes 4M /dev/urandom > /root/data
        cp /root/data /mnt/faulty/data; sync
        unread() { sync; echo 1 > /proc/sys/vm/drop_caches; }  # contents alone: of names and inodes nothing is asked

        unread; becomes error
        fails dd if=/mnt/faulty/data of=/dev/null bs=4k count=1 2>&1
        becomes linear $disk 0
        cmp /root/data /mnt/faulty/data; echo "read again"

        modprobe dm-delay; unread; becomes delay $disk 0 1500
        dd if=/mnt/faulty/data of=/dev/null bs=4k count=1 status=none; echo "read slowly"
        becomes linear $disk 0

        unread; dmsetup suspend --noflush --nolockfs faulty
        cmp /root/data /mnt/faulty/data & reader=$!
        cp /root/data /mnt/faulty/more & writer=$!  # a read the kernel waits for by itself, a new name a worker
        await 300 says faulty 'storage slow: mknod'
        await 60 ok share
        echo elsewhere > /mnt/share/meanwhile; test "$(cat /srv/source/meanwhile)" = elsewhere; rm /mnt/share/meanwhile
        kill -0 $reader $writer
        dmsetup resume faulty
        wait $reader; echo "read after all"
        wait $writer; cmp /root/data /srv/faulty/shared/more
        await 300 ok faulty
        finish elsewhere
        rm /root/data
        """,
        timeout=900,
    )
    assert "Input/output error" in said
    assert said.count("read again\nread slowly\nread after all\n") == 1, said


def test_clients_of_a_lost_mount_wait_and_go_on_at_once_when_it_is_back(client: Client) -> None:
    said = client.run(
        """
        . $FILES/device.sh
        trap 'no_share_on lost; no_faulty' EXIT
        faulty; share_on lost /dev/mapper/faulty
        storm elsewhere
        echo here > /mnt/lost/file
        begin kept python3 $FILES/hold.py /mnt/lost/kept
        handles() { python3 $FILES/handle.py "$@"; }
        handles --save /run/handles /mnt/lost/file
        umount -l /srv/lost
        await 120 unhealthy lost
        # The kernel prints a share's fsid as numbers of 32 bits.
        fsid=$(api GET /v1/shares/lost | grep -o '"fsid":"[^"]*"' | cut -d '"' -f 4 | tr -d - |
            sed -E 's/(..)(..)(..)(..)/\\4\\3\\2\\1/g')
        asked() { grep "^# .* 6 0x$fsid" "/proc/$(pgrep -x rpc.mountd | tail -1)/net/rpc/nfsd.fh/content"; }
        answered() { ! asked; }
        timeout 900 cp /mnt/lost/file /mnt/lost/copy & copy=$!
        await 300 asked; echo "the kernel has asked"
        mount -o noatime /dev/mapper/faulty /srv/lost
        await 60 answered  # the kernel asks again by itself after 120 s
        await 60 sh -c "! kill -0 $copy"
        wait $copy; test "$(cat /srv/lost/shared/copy)" = here
        finish kept elsewhere
        handles --compare /run/handles /mnt/lost
        """,
        timeout=900,
    )
    assert "the kernel has asked\n" in said
    assert "1 the same" in said


def test_a_disk_that_is_pulled_and_put_in_again_is_gone_on_with(client: Client) -> None:
    said = client.run(
        """
        . $FILES/device.sh
        trap 'no_share_on pulled; no_disk' EXIT
        plug_in; share_on pulled $disk
        echo here > /mnt/pulled/file; sync
        python3 $FILES/handle.py --save /run/handles /mnt/pulled/file
        pull
        await 300 unhealthy pulled
        withdrawn() { fails docker exec $(container) mountpoint --quiet /exports/pulled; }
        await 300 withdrawn  # until then who asks is told of the dead disk
        timeout 900 cp /mnt/pulled/file /mnt/pulled/copy & copy=$!
        umount -l /srv/pulled
        plug_in
        e2fsck -p $disk || test $? -le 1
        mount -o noatime $disk /srv/pulled
        await 300 ok pulled
        wait $copy; test "$(cat /srv/pulled/shared/copy)" = here
        python3 $FILES/handle.py --compare /run/handles /mnt/pulled
        echo more >> /mnt/pulled/file; sync; test "$(tail -n 1 /srv/pulled/shared/file)" = more
        """,
        timeout=900,
    )
    assert "1 the same" in said


def test_no_room_and_a_used_up_quota_are_told_and_end(client: Client) -> None:
    said = client.run(
        """
        . $FILES/device.sh
        trap 'no_share_on full; no_faulty' EXIT
        faulty; share_on full /dev/mapper/faulty "mkfs.xfs -q" noatime,uquota
        write() { dd if=/dev/urandom "of=/mnt/full/$1" bs=64k count=64 conv=fsync status=none 2>&1; }  # 4 MiB
        quota() { xfs_quota -x -c "limit bhard=$1 1000" /srv/full; }
        theirs() { setpriv --reuid 1000 --regid 1000 --clear-groups bash -c "$(declare -f write); write theirs/$1"; }
        install -d -o 1000 /mnt/full/theirs
        quota 1m
        fails theirs one
        write ours; echo "others write"
        quota 16m
        theirs two; echo "written under a larger quota"

        fallocate -l $(($(df --output=avail -B 1 /srv/full | tail -n 1) - (2 << 20))) /srv/full/filler
        fails write more
        rm /mnt/full/more
        echo here > /mnt/full/little; test "$(cat /srv/full/shared/little)" = here; echo "a little fits"
        rm /srv/full/filler
        write more; cmp /mnt/full/more /srv/full/shared/more; echo "written when there is room"
        test $(stat --format %s /srv/full/shared/{ours,theirs/two,more} | sort -u) = $((4 << 20))
        await 60 ok full
        """,
        timeout=600,
    )
    assert "Disk quota exceeded" in said.partition("others write")[0], said
    assert "No space left on device" in said.partition("a little fits")[0].partition("larger quota")[2], said
    assert "written when there is room\n" in said
