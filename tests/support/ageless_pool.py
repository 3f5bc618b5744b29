"""A pool process whose workers let go of nothing because it has not been used: what else makes them is seen."""

from __future__ import annotations

from appliance.fuse import pool, worker

if __name__ == "__main__":
    vars(worker)["AGE_SECONDS"] = float("inf")
    pool.main()
