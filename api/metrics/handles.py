"""Numbers of what checks and canaries found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from appliance.checks.outcomes import Outcome
from appliance.control.checks import ShareNumbers


class Handles(Collector):
    """What checks and canaries found."""

    def __init__(self, shares: Sequence[ShareNumbers]) -> None:
        self._shares = shares

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        healthy = GaugeMetricFamily(
            "holdfast_handles_healthy", "1 if the last check and the canary found no fault.", labels=["share"]
        )
        samples = GaugeMetricFamily("holdfast_handle_samples", "Handles in the sample.", labels=["share"])
        canary = GaugeMetricFamily(
            "holdfast_canary_seconds", "How long the canary's last answer took.", labels=["share"]
        )
        outcomes = GaugeMetricFamily(
            "holdfast_handle_check_outcomes",
            "Handles in the last check of each mode, by outcome.",
            labels=["share", "mode", "outcome"],
        )
        finished = GaugeMetricFamily(
            "holdfast_handle_check_timestamp_seconds",
            "When the last check of each mode was finished: time() minus this is its age.",
            labels=["share", "mode"],
        )
        seconds = GaugeMetricFamily(
            "holdfast_handle_check_seconds", "How long the last check of each mode took.", labels=["share", "mode"]
        )
        drifts = CounterMetricFamily(
            "holdfast_handle_drifts", "Handles that drifted, in all checks since the start.", labels=["share"]
        )
        checks = CounterMetricFamily("holdfast_handle_checks", "Checks made since the start.", labels=["share"])
        for numbers in self._shares:
            share = numbers.share
            healthy.add_metric([share], float(numbers.health.status in ("ok", "unknown")))
            samples.add_metric([share], numbers.health.samples)
            if numbers.health.canary_seconds is not None:
                canary.add_metric([share], numbers.health.canary_seconds)
            for check in numbers.last:
                for outcome in Outcome:
                    outcomes.add_metric([share, check.mode, outcome], check.counts.get(outcome, 0))
                finished.add_metric([share, check.mode], check.finished or 0.0)
                seconds.add_metric([share, check.mode], check.seconds or 0.0)
            drifts.add_metric([share], numbers.drifts)
            checks.add_metric([share], numbers.checks)
        yield from (healthy, samples, canary, outcomes, finished, seconds, drifts, checks)
