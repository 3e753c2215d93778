"""Prometheus metrics of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from moodline.errors import StoreUnavailableError

_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""From a look without a disk to the longest wait for another writer, in seconds."""


class TransactionKind(StrEnum):
    """Whether a transaction changes something; the label of both metrics."""

    READ = "read"
    WRITE = "write"


class StoreMetrics:
    """How the database does, as this process sees it.

    Attributes:
        transaction_duration_seconds: Transactions by `kind`, waiting for a connection and for
            other writers included; also of those that failed or were given up.
        failures_total: Transactions by `kind` that the database failed.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics.

        Args:
            registry: A registry of the caller's own; the process-wide one is never used.
        """
        self.transaction_duration_seconds = Histogram(
            "moodline_store_transaction_duration_seconds",
            "Duration of a transaction, waiting included.",
            ["kind"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.failures_total = Counter(
            "moodline_store_failures_total",
            "Transactions that the database failed.",
            ["kind"],
            registry=registry,
        )
        # A counter that appears only with its first event cannot be alerted on.
        for kind in TransactionKind:
            self.transaction_duration_seconds.labels(kind=kind)
            self.failures_total.labels(kind=kind)

    @contextmanager
    def measured(self, kind: TransactionKind) -> Iterator[None]:
        """Measure the transaction in the block."""
        with (
            self.transaction_duration_seconds.labels(kind=kind).time(),
            self.failures_total.labels(kind=kind).count_exceptions(StoreUnavailableError),
        ):
            yield
