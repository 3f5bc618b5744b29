# To be sourced. `nothing_is_left`: of a container that died there is no process, no thread of knfsd, no mount and no
# connection of FUSE any more.
nothing_is_left() {
    ! pgrep -x 'holdfast(-first|-pool|-worker|-watch)?|rpc.mountd|nfsdcld|nfsd' \
        && ! pgrep -f 'python -m (api|appliance)' \
        && ! findmnt --noheadings -t fuse.holdfast | grep . \
        && ! ls /sys/fs/fuse/connections | grep .
}
mountpoint --quiet /sys/fs/fuse/connections || mount -t fusectl fusectl /sys/fs/fuse/connections
