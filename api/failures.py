"""How often wrong tokens came from where, so that whoever guesses is turned away without a look."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

_MOST = 10_000  # addresses remembered


@dataclass
class _Bucket:
    left: float
    seen: float


class Failures:
    """A budget of wrong tokens for each address, which fills up again by the minute."""

    def __init__(self, per_minute: int) -> None:
        """Each address may be wrong so many times at once, and as often in every minute."""
        self._most = per_minute
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Return for how many seconds nothing from this address is looked at; 0 if it is. `now` is a steady clock's."""
        bucket = self._buckets.get(_network(address))
        if bucket is None:
            return 0.0
        self._fill(bucket, now)
        return 0.0 if bucket.left >= 1 else (1 - bucket.left) * 60 / self._most

    def count(self, address: str, now: float) -> None:
        """A wrong token came from this address."""
        key = _network(address)
        bucket = self._buckets.setdefault(key, _Bucket(self._most, now))
        self._buckets.move_to_end(key)
        self._fill(bucket, now)
        bucket.left = max(0.0, bucket.left - 1)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)

    def _fill(self, bucket: _Bucket, now: float) -> None:
        bucket.left = min(self._most, bucket.left + (now - bucket.seen) * self._most / 60)
        bucket.seen = now


def _network(address: str) -> str:
    """Return what is counted together: an IPv4 address, or the /64 that a single IPv6 host can choose from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return address
