"""A pool process whose workers wait for room, after something was removed, for as long as any machine may need."""

from __future__ import annotations

from appliance.fuse import pool, worker
from tests.support.patience import SECONDS

if __name__ == "__main__":
    vars(worker)["_ROOM_SECONDS"] = int(SECONDS)
    pool.main()
