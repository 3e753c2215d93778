"""Prometheus metrics of actions; labels are names of the configuration, so there are few."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from moodline.actions.retry import Verdict


class ActionMetrics:
    """What becomes of actions in this process, and what waits in the store.

    Attributes:
        actions_total: Attempts, and actions skipped, by `kind`, `target` of the endpoint and
            `outcome`; see `retry.Verdict`.
        pending: Actions that are neither done nor dead, of all replicas.
        oldest_age_seconds: Age of the oldest of them; 0 if there is none. Alert on it: a receiver
            that is down makes it grow.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics.

        Args:
            registry: A registry of the caller's own; the process-wide one is never used.
        """
        self.actions_total = Counter(
            "moodline_actions_total",
            "Attempts to deliver an action, and actions skipped.",
            ["kind", "target", "outcome"],
            registry=registry,
        )
        self.pending = Gauge(
            "moodline_actions_pending", "Actions that wait to be delivered.", registry=registry
        )
        self.oldest_age_seconds = Gauge(
            "moodline_actions_oldest_age_seconds",
            "Age of the oldest action that waits to be delivered.",
            registry=registry,
        )

    def add_endpoint(self, kind: str, target: str) -> None:
        """Show the counters of an endpoint, so that they can be alerted on before they count."""
        for verdict in (Verdict.DELIVERED, Verdict.FAILED, Verdict.DEAD):
            self.actions_total.labels(kind=kind, target=target, outcome=verdict)

    def count(self, kind: str, target: str, verdict: Verdict, amount: int = 1) -> None:
        """Count what became of actions."""
        self.actions_total.labels(kind=kind, target=target, outcome=verdict).inc(amount)
