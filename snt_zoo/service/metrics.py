"""Figures of a service in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

TEXT = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one application.

    Args:
        supernets: counts those in the registry when it is asked.
        busy: counts the calls that are under way, or wait.
    """

    def __init__(self, *, supernets: Callable[[], float], busy: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._answers = Counter(
            "snt_zoo_requests", "Requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "snt_zoo_request_seconds",
            "Time to the end of an answer.",
            ("route", "method"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        for name, text, ask in (
            ("snt_zoo_supernets", "Supernets in the registry.", supernets),
            ("snt_zoo_work", "Calls that are under way, or wait for a thread.", busy),
        ):
            Gauge(name, text, registry=self._registry).set_function(ask)

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is a pattern, so that there are few."""
        self._answers.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)

    def text(self) -> bytes:
        """All figures."""
        return generate_latest(self._registry)
