# To be sourced, after the prelude: shares on disks of their own that can be made to fail, and a client of each.
# `share_on NAME DISK [MKFS [OPTIONS]]` makes a filesystem with the source /srv/NAME/shared, and the mount /mnt/NAME;
# `no_share_on NAME` ends that.
export DM_DISABLE_UDEV=1  # no udevd runs in this machine: dmsetup makes the nodes itself
server=$(findmnt --noheadings --output SOURCE /mnt/share); server=${server%%:*}

quiet_ext4="mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0"  # nothing is written by the filesystem later on

share_on() {
    ${3:-$quiet_ext4} "$2"
    mkdir -p "/srv/$1" "/mnt/$1"
    mount -o "${4:-noatime}" "$2" "/srv/$1"
    mkdir "/srv/$1/shared"
    api POST /v1/shares "{\"name\": \"$1\", \"source\": \"/srv/$1/shared\",
        \"clients\": [{\"network\": \"0.0.0.0/0\", \"access\": \"rw\", \"squash\": \"none\", \"secure_ports\": false}]}"
    echo
    mount -t nfs4 -o vers=4.2 "$server:/$1" "/mnt/$1"
}

no_share_on() {
    set +e
    umount -f -l "/mnt/$1"
    api DELETE "/v1/shares/$1"
    umount -l "/srv/$1"
    rmdir "/srv/$1" "/mnt/$1"
}

# NAME TEXT: whether the share's state has the text in it.
says() { api GET "/v1/shares/$1" | grep --quiet "$2"; }
ok() { says "$1" '"state":{"status":"ok"'; }
unhealthy() { says "$1" '"state":{"status":"unhealthy"'; }

# A disk /dev/mapper/faulty that `becomes TARGET` of device-mapper, with $disk and $sectors below it.
faulty() {
    truncate --size 512M /root/faulty.img
    disk=$(losetup --find --show /root/faulty.img) sectors=$(blockdev --getsz "$disk")
    dmsetup create faulty --table "0 $sectors linear $disk 0"
}

becomes() {
    local target=$1; shift
    dmsetup suspend --noflush --nolockfs faulty
    dmsetup load faulty --table "0 $sectors $target $*"
    dmsetup resume faulty
}

no_faulty() {
    set +e
    await 60 dmsetup remove faulty
    losetup --detach "$disk"
    rm /root/faulty.img
}

# A SCSI disk $disk that is pulled and plugged in again: the kernel's scsi_debug, which keeps what was written to it.
adapter=/sys/bus/pseudo/drivers/scsi_debug/adapter0
plug_in() {
    if [ -e $adapter ]; then echo "- - -" | tee $adapter/host*/scsi_host/host*/scan; else
        modprobe sd_mod; modprobe scsi_debug dev_size_mb=256
    fi
    plugged() { disk=/dev/$(basename $adapter/host*/target*/*/block/*) && [ -b "$disk" ]; }
    await 60 plugged
}
pull() { echo 1 | tee $adapter/host*/target*/[0-9]*/delete; }
no_disk() { set +e; await 60 rmmod scsi_debug; }
