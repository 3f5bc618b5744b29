"""What the kernel's NFS server counts: pure functions over /proc/net/rpc/nfsd and files of the nfsd filesystem."""

from __future__ import annotations

from appliance.model.numbers import PoolNumbers, ServerNumbers

RPC_FILE = "/proc/net/rpc/nfsd"
POOLS_FILE = "pool_stats"
CACHE_FILE = "reply_cache_stats"

# The procedures of RFC 1813 by their numbers.
_VERSION_3 = """
null getattr setattr lookup access readlink read write create mkdir symlink mknod remove rmdir rename link readdir
readdirplus fsstat fsinfo pathconf commit
"""
# The operations of RFC 7530, 8881, 7862 and 8276 by their numbers, the first of which is 3.
_VERSION_4 = """
access close commit create delegpurge delegreturn getattr getfh link lock lockt locku lookup lookupp nverify open
openattr open_confirm open_downgrade putfh putpubfh putrootfh read readdir readlink remove rename renew restorefh savefh
secinfo setattr setclientid setclientid_confirm verify write release_lockowner backchannel_ctl bind_conn_to_session
exchange_id create_session destroy_session free_stateid get_dir_delegation getdeviceinfo getdevicelist layoutcommit
layoutget layoutreturn secinfo_no_name sequence set_ssv test_stateid want_delegation destroy_clientid reclaim_complete
allocate copy copy_notify deallocate io_advise layouterror layoutstats offload_cancel offload_status read_plus seek
write_same clone getxattr setxattr listxattrs removexattr
"""
_FIRST_OF_4 = 3
_REPLY_CACHE = {
    "num entries": "entries",
    "max entries": "entries_max",
    "mem usage": "bytes",
    "cache hits": "hits",
    "cache misses": "misses",
    "not cached": "not_cached",
    "payload misses": "payload_misses",
}


def parse(rpc: str, pools: str = "", cache: str = "") -> ServerNumbers:
    """Read the three files; what the running kernel does not tell is 0."""
    lines = {line.split()[0]: _numbers(line.split()[1:]) for line in rpc.splitlines() if line.strip()}

    def at(key: str, index: int) -> int:
        found = lines.get(key, [])
        return found[index] if index < len(found) else 0

    return ServerNumbers(
        threads=at("th", 0),
        bytes_read=at("io", 0),
        bytes_written=at("io", 1),
        stale_handles=at("fh", 0),
        tcp_connections=at("net", 3),
        calls=at("rpc", 0),
        bad_calls=at("rpc", 1),
        operations={
            "3": _named(_VERSION_3, lines.get("proc3", [])[1:]),
            "4": _named(_VERSION_4, lines.get("proc4ops", [])[1 + _FIRST_OF_4 :]),
        },
        reply_cache=_reply_cache(cache),
        pools=tuple(_pools(pools)),
    )


def _named(names: str, counts: list[int]) -> dict[str, int]:
    return {name: count for name, count in zip(names.split(), counts, strict=False) if count}


def _pools(text: str) -> list[PoolNumbers]:
    rows = [_numbers(line.split()) for line in text.splitlines() if line and not line.startswith("#")]
    return [
        PoolNumbers(pool=row[0], packets=row[1], sockets_queued=row[2], threads_woken=row[3])
        for row in rows
        if len(row) >= 4
    ]


def _reply_cache(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if (name := _REPLY_CACHE.get(key.strip())) and value.strip().isdecimal():
            found[name] = int(value)
    return found


def _numbers(words: list[str]) -> list[int]:
    """Return the whole numbers at the head of a line: the rest are what older kernels had."""
    found: list[int] = []
    for word in words:
        if not word.isdecimal():
            break
        found.append(int(word))
    return found
