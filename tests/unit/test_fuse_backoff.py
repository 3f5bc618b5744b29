"""When a dead worker is replaced at once, and when not."""

from appliance.fuse.backoff import Backoff


def test_a_worker_killed_from_outside_is_replaced_at_once_however_often() -> None:
    backoff = Backoff()
    assert [backoff.after_death(time / 2, served=True) for time in range(100)] == [0.0] * 100


def test_workers_that_never_serve_are_started_ever_more_rarely() -> None:
    backoff = Backoff()
    assert [backoff.after_death(float(time), served=False) for time in range(12)] == [
        *[0.0, 0.0, 0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2],
        *[5.0, 5.0, 5.0],
    ]


def test_a_quiet_while_makes_up_for_the_past() -> None:
    backoff = Backoff()
    for time in range(6):
        backoff.after_death(float(time), served=False)
    assert backoff.after_death(100.0, served=False) == 0.0
