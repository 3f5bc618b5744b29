"""When what failed is tried again."""

from appliance.backoff import Backoff


def test_delays_double_up_to_the_longest_and_are_forgotten() -> None:
    backoff = Backoff(first=1, longest=5, healthy=60)
    assert [backoff.after_failure(now) for now in (0, 1, 2, 3, 4)] == [1, 2, 4, 5, 5]
    assert backoff.after_failure(100) == 1
    assert backoff.after_failure(101) == 2


def test_the_first_failures_may_be_free() -> None:
    backoff = Backoff(first=0.1, longest=5.0, healthy=10.0, free=3)
    assert [backoff.after_failure(float(time)) for time in range(12)] == [
        *[0.0, 0.0, 0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2],
        *[5.0, 5.0, 5.0],
    ]


def test_what_failed_without_blame_is_tried_at_once_however_often() -> None:
    backoff = Backoff(first=0.1, longest=5.0, healthy=10.0, free=1)
    for time in range(100):
        backoff.forget()
        assert backoff.after_failure(time / 2) == 0.0
