"""The plan: what is done, and in which order. Plans are also carried out on a model, to see that they arrive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from appliance.fuse.caching import Caching
from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.model import Client, Share
from appliance.nfs.exports import Export
from appliance.nfs.server import Exported
from appliance.settings import Settings
from appliance.state.records import Fsid, Identity, ShareRecord
from appliance.supervisor import reconciler
from appliance.supervisor.plan import (
    Action,
    ApplyExports,
    Desired,
    Observed,
    Open,
    Release,
    Resize,
    SetThreads,
    Unmount,
    Wanted,
    exported,
    plan,
)

ROOT = Path("/exports")
ANYBODY = (Client(network="10.0.0.0/8"),)


def wanted(name: str, source: str = "/srv", number: int = 1, workers: int = 2, path: str = "") -> Wanted:
    identity = Identity(Fsid(UUID(int=number)), CodecChoice(Kind.INO32), b"key")
    return Wanted(name, f"{source}/{name}", identity, workers, path or f"/{name}")


def desired(*shares: Wanted, threads: int = 8) -> Desired:
    exports = tuple(Export(share.mountpoint(ROOT), share.identity.fsid, ANYBODY) for share in shares)
    return Desired(ROOT, {share.name: share for share in shares}, exports, threads)


def observed(*shares: Wanted, threads: int = 8) -> Observed:
    """What is when all these are served and exported."""
    there = desired(*shares)
    return Observed(
        served=dict(there.shares),
        mounts=frozenset(share.mountpoint(ROOT) for share in shares),
        exported=exported(ROOT, there.exports),
        threads=threads,
    )


A, B = wanted("a"), wanted("b", number=2)
NOTHING = Observed({}, frozenset(), Exported(), threads=0)


def kinds(actions: list[Action]) -> list[str]:
    return [type(action).__name__ for action in actions]


def test_nothing_is_done_when_all_is_as_wanted() -> None:
    assert plan(desired(A, B), observed(A, B)) == []


def test_at_the_start_clients_come_last() -> None:
    actions = plan(desired(A, B), NOTHING)
    assert kinds(actions) == ["Open", "Open", "ApplyExports", "SetThreads"]


def test_at_the_end_clients_go_first() -> None:
    actions = plan(desired(threads=0), observed(A, B))
    assert kinds(actions) == ["SetThreads", "ApplyExports", "Release", "Release"]
    assert actions[0] == SetThreads(0)
    assert actions[1] == ApplyExports(exported(ROOT, ()))
    # A server that is down holds nothing, and refuses to let go of it.
    assert actions[2] == Release("a", clients=False)


def test_a_share_that_is_removed_is_unexported_before_it_is_unmounted() -> None:
    reduced = exported(ROOT, desired(B).exports)
    assert plan(desired(B), observed(A, B)) == [ApplyExports(reduced), Release("a", clients=True)]


def test_a_share_that_is_added_disturbs_no_other() -> None:
    final = exported(ROOT, desired(A, B).exports)
    assert plan(desired(A, B), observed(A)) == [Open(B), ApplyExports(final)]


def test_new_clients_are_a_matter_of_exports_alone() -> None:
    others = (Client(host="other"),)
    changed = replace(desired(A), exports=(Export(ROOT / "a", A.identity.fsid, others),))
    assert plan(changed, observed(A)) == [ApplyExports(exported(ROOT, changed.exports))]


def test_a_new_source_ends_the_old_handles_first() -> None:
    moved = wanted("a", source="/elsewhere", number=3)
    actions = plan(desired(moved, B), observed(A, B))
    assert kinds(actions) == ["ApplyExports", "Release", "Open", "ApplyExports"]
    assert actions[0] == ApplyExports(exported(ROOT, desired(B).exports))
    assert actions[1] == Release("a", clients=True)


def test_another_caching_is_a_matter_of_other_workers() -> None:
    changed = replace(A, caching=Caching.EXCLUSIVE)
    assert plan(desired(changed, B), observed(A, B)) == [Resize(changed)]


def rotated(share: Wanted) -> Wanted:
    return replace(share, identity=replace(share.identity, key=b"another"))


def test_another_key_ends_the_old_handles_first_and_disturbs_no_other_share() -> None:
    reduced, final = exported(ROOT, desired(B).exports), exported(ROOT, desired(A, B).exports)
    assert plan(desired(rotated(A), B), observed(A, B)) == [
        ApplyExports(reduced), Release("a", clients=True), Open(rotated(A)), ApplyExports(final)
    ]


def test_what_is_broken_is_withheld_before_its_clients_lose_what_they_hold() -> None:
    """They wait, and are not told ESTALE."""
    export = Export(ROOT / "a", A.identity.fsid, ANYBODY, withheld=True)
    gone = replace(desired(B), exports=(export, *desired(B).exports))
    final = exported(ROOT, gone.exports)
    assert plan(gone, observed(A, B)) == [ApplyExports(final), Release("a", clients=True)]
    assert plan(gone, replace(observed(A, B), exported=final)) == [Release("a", clients=True)]


def test_the_server_starts_anew_when_a_share_that_lost_writes_is_mounted_again() -> None:
    final = exported(ROOT, desired(A, B).exports)
    lost = frozenset({A.identity.fsid})
    actions = plan(desired(A, B), replace(observed(B), lost_writes=lost))
    assert actions == [SetThreads(0), Open(A), ApplyExports(final), SetThreads(8)]
    assert plan(desired(A), replace(observed(A), threads=0, lost_writes=lost)) == [SetThreads(8)]
    assert plan(desired(A, B), replace(observed(A), lost_writes=lost)) == [Open(B), ApplyExports(final)]
    gone = replace(desired(B), exports=desired(A, B).exports)
    assert plan(gone, replace(observed(B), exported=final, lost_writes=lost)) == [], "it is not back"


@given(st.integers(min_value=0, max_value=4))
def test_another_key_that_was_interrupted_anywhere_arrives(done: int) -> None:
    """The supervisor fails or is cancelled after so many of the actions, and plans anew from what it sees."""
    goal = desired(rotated(A), B)
    halfway = carry_out(plan(goal, observed(A, B))[:done], observed(A, B))
    reached = carry_out(plan(goal, halfway), halfway)
    assert reached == observed(rotated(A), B)


def test_more_workers_need_no_unmount() -> None:
    assert plan(desired(replace(A, workers=5), B), observed(A, B)) == [Resize(replace(A, workers=5))]


def test_a_mount_that_is_gone_is_made_again_while_its_clients_wait() -> None:
    actions = plan(desired(A, B), replace(observed(A, B), mounts=frozenset({ROOT / "b"})))
    assert actions == [Release("a", clients=False), Open(A), ApplyExports(exported(ROOT, desired(A, B).exports))]


def test_what_nobody_serves_is_unmounted_innermost_first() -> None:
    mounts = frozenset({ROOT / "a", ROOT / "old", ROOT / "old/inner"})
    actions = plan(desired(A), replace(observed(A), mounts=mounts))
    assert actions == [Unmount(ROOT / "old/inner"), Unmount(ROOT / "old")]


def test_a_failed_share_stays_exported_and_waits_for_its_next_try() -> None:
    seen = replace(observed(A, B), served={"b": B}, mounts=frozenset({ROOT / "b"}), waiting=frozenset({"a"}))
    assert plan(desired(A, B), seen) == []
    assert plan(desired(A, B), replace(seen, waiting=frozenset()))[0] == Open(A)


def test_exports_changed_by_hand_are_put_right() -> None:
    by_hand = replace(observed(A), exported=Exported(observed(A).exported.text, frozenset({("/etc", "*")})))
    assert plan(desired(A), by_hand) == [ApplyExports(exported(ROOT, desired(A).exports))]


def test_threads_follow_the_setting() -> None:
    assert plan(desired(A, threads=3), observed(A)) == [SetThreads(3)]


def carry_out(actions: list[Action], seen: Observed) -> Observed:
    """Do on a model what the executor does on the system; what must never be is asserted on the way."""
    served, mounts, there, threads = dict(seen.served), set(seen.mounts), seen.exported, seen.threads
    for action in actions:
        match action:
            case SetThreads(number):
                threads = number
            case ApplyExports(text):
                there = text
            case Release(name, clients):
                path = ROOT / name
                assert not clients or str(path) not in {exported for exported, _ in there.pairs}, "still exported"
                del served[name]
                mounts.discard(path)
            case Unmount(path):
                mounts.remove(path)
            case Resize(share):
                served[share.name] = share
            case Open(share):
                assert ROOT / share.name not in mounts, "mounted twice"
                served[share.name] = share
                mounts.add(ROOT / share.name)
    return Observed(served, frozenset(mounts), there, threads)


shares = st.lists(
    st.builds(
        wanted, st.sampled_from("abc"), st.sampled_from(["/x", "/y"]), st.just(1), st.integers(min_value=1, max_value=3)
    ),
    unique_by=lambda share: share.name,
    max_size=3,
).map(
    lambda chosen: [
        replace(share, identity=replace(share.identity, fsid=Fsid(UUID(int=hash(share.source) % 2**128))))
        for share in chosen
    ]
)


@given(shares, shares, st.sets(st.sampled_from([ROOT / name for name in "abcd"])), st.sampled_from([0, 8]))
def test_from_anywhere_to_anywhere_in_one_plan(
    before: list[Wanted], after: list[Wanted], mounts: set[Path], threads: int
) -> None:
    seen = replace(observed(*before), mounts=frozenset(mounts), threads=threads)
    goal = desired(*after)
    reached = carry_out(plan(goal, seen), seen)
    assert reached == observed(*after)
    assert plan(goal, reached) == []


def test_a_share_that_is_checked_over_nfs_is_exported_to_ourselves_as_well() -> None:
    share = Share(name="a", source="/srv/a", clients=(Client(host="127.0.0.1", access="rw"), Client(host="other")))
    identity = Identity(Fsid(UUID(int=1)), CodecChoice(Kind.INO32), bytes(32))
    records = [ShareRecord(share, identity, 0.0, 0.0)]
    (export,) = reconciler.desired(Settings(), records, read_locally={"a"}).exports
    assert export.clients == share.clients, "a local client goes on as it was"
    assert [(client.address, client.access) for client in export.own] == [("127.0.0.77", "ro")]
    (export,) = reconciler.desired(Settings(), records).exports
    assert (export.clients, export.own) == (share.clients, ())


def test_a_share_with_another_path_is_mounted_there_and_exported_last() -> None:
    moved = wanted("a", path="/media/a")
    actions = plan(desired(moved, B), observed(A, B))
    assert actions == [
        ApplyExports(exported(ROOT, desired(B).exports)),
        Release("a", clients=True),
        Open(moved),
        ApplyExports(exported(ROOT, desired(moved, B).exports)),
    ]
    assert plan(desired(moved, B), observed(moved, B)) == []
