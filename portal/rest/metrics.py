"""Counts requests for Prometheus; with PROMETHEUS_MULTIPROC_DIR set, those of all processes together."""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
CONTENT_TYPE = CONTENT_TYPE_LATEST

requests = Counter("portico_requests", "Requests by endpoint and status.", ("method", "endpoint", "status"))
seconds = Histogram(
    "portico_request_seconds", "Time until the last byte of the answer.", ("endpoint",), buckets=BUCKETS
)
rests_until = Gauge(
    "portico_deployment_rests_until_seconds",
    "Until when a deployment rests after failures, in seconds since 1970.",
    ("deployment",),
    multiprocess_mode="max",
)
retries = Counter(
    "portico_retries",
    "Repeats of calls that failed, by whether the retry budget allowed them.",
    ("allowed",),
)
fallbacks = Counter(
    "portico_fallbacks",
    "Other models that were asked when one failed, by whether they answered.",
    ("answered",),
)
kept_answers = Counter(
    "portico_kept_answers", "Calls that looked for a kept answer, by whether there was one.", ("found",)
)

_counters: dict[tuple[str, str, int], Counter] = {}
_histograms: dict[str, Histogram] = {}


def observe(method: str, endpoint: str, status: int, duration: float) -> None:
    """Counts one request. `endpoint` is a route's template, never a path that a caller made up."""
    counted = (method, endpoint, status)
    counter = _counters.get(counted)
    if counter is None:
        counter = _counters[counted] = requests.labels(method, endpoint, str(status))
    counter.inc()
    histogram = _histograms.get(endpoint)
    if histogram is None:
        histogram = _histograms[endpoint] = seconds.labels(endpoint)
    histogram.observe(duration)


def exposition() -> bytes:
    """Everything counted, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
