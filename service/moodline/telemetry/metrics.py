"""Prometheus metrics: base units, bounded labels, one registry that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

_DURATION_BUCKETS_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""From a cached turn to the longest conversation at the default deadline, in seconds."""
_RULES_BUCKETS_S: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1,
)  # fmt: skip
"""Around the tenth of a millisecond that the default rules take for a turn, in seconds."""
_ROW_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_RATIO_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Stage(StrEnum):
    """Where a request spends its time; the label of `moodline_stage_duration_seconds`."""

    TOKENIZE = "tokenize"
    """Text to windows, in the tokenizer's executor."""
    QUEUE = "queue"
    """A window in the queue, from arrival to the start of its engine call."""
    ENGINE = "engine"
    """One engine call."""
    HEAD = "head"
    """The steps of the conversation head."""
    ROLLUP = "rollup"
    """The roll-up of one conversation."""


class DropReason(StrEnum):
    """Why an admitted window was never computed; the label of `moodline_dropped_total`."""

    EXPIRED = "expired"
    ABANDONED = "abandoned"


class CacheOutcome(StrEnum):
    """What the cache of repeated short turns said; long windows are not looked up."""

    HIT = "hit"
    MISS = "miss"


class Metrics:
    """All metrics of one process.

    Attributes:
        registry: Where they are registered, and what the endpoint exposes.
        rpc_duration_seconds: Calls by `method` and status `code`, first byte to last.
        stage_duration_seconds: Time by `stage`; see `Stage`.
        queue_tokens: Tokens pending in the ledger: the load that admission sees.
        queue_entries: Windows that wait for the engine.
        batch_rows: Rows of each engine call.
        batch_fill_ratio: Real tokens / padded tokens of each engine call, in (0, 1].
        batches_total: Engine calls by `cut`; see `planner.Cut`.
        inference_failures_total: Failed engine calls by `scope`: a `batch`, whose rows are then
            tried one by one, or a `row` that fails on its own.
        shed_total: Requests not admitted, by the error's `reason`.
        dropped_total: Admitted windows never computed, by `reason`; see `DropReason`.
        cache_lookups_total: Look-ups of repeated short turns by `outcome`.
        live_streams: Open StreamConversation calls.
        turns_total: Turns analysed by `mode` (unary, batch, stream) and `role`.
        rules_duration_seconds: Time of the rules over one turn, of streams and whole conversations.
        signal_events_total: What happened to signals of streams, by `event` (`SignalEventKind`),
            `reason` and `severity` of the rule; each once among replicas that share a store.
        signal_outcomes_total: Resolved signals by `reason` of the rule and `outcome`.
        signals_overdue_total: Signals that expired because nobody dealt with them in time.
        signal_watches: Open WatchSignals calls.
        turns_awaiting_store: Turns of streams whose signals are still to be kept.
        streams_not_kept_total: Streams of which signals were given up, as the store did not answer.
        model_info: Always 1; the labels name the model that is served.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics.

        Args:
            registry: A registry of the caller's own; the process-wide one is never used.
        """
        self.registry = registry
        self.rpc_duration_seconds = Histogram(
            "moodline_rpc_duration_seconds",
            "Duration of a call.",
            ["method", "code"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self.stage_duration_seconds = Histogram(
            "moodline_stage_duration_seconds",
            "Time spent in one stage.",
            ["stage"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self.queue_tokens = Gauge(
            "moodline_queue_tokens", "Tokens pending in the ledger.", registry=registry
        )
        self.queue_entries = Gauge(
            "moodline_queue_entries", "Windows that wait for the engine.", registry=registry
        )
        self.batch_rows = Histogram(
            "moodline_batch_rows",
            "Rows of an engine call.",
            buckets=_ROW_BUCKETS,
            registry=registry,
        )
        self.batch_fill_ratio = Histogram(
            "moodline_batch_fill_ratio",
            "Real tokens divided by padded tokens of an engine call.",
            buckets=_RATIO_BUCKETS,
            registry=registry,
        )
        self.batches_total = Counter(
            "moodline_batches_total",
            "Engine calls by the reason the batch was closed.",
            ["cut"],
            registry=registry,
        )
        self.inference_failures_total = Counter(
            "moodline_inference_failures_total",
            "Engine calls that failed.",
            ["scope"],
            registry=registry,
        )
        self.shed_total = Counter(
            "moodline_shed_total", "Requests not admitted.", ["reason"], registry=registry
        )
        self.dropped_total = Counter(
            "moodline_dropped_total",
            "Admitted windows that were never computed.",
            ["reason"],
            registry=registry,
        )
        self.cache_lookups_total = Counter(
            "moodline_cache_lookups_total",
            "Look-ups of repeated short turns.",
            ["outcome"],
            registry=registry,
        )
        self.live_streams = Gauge(
            "moodline_live_streams", "Open StreamConversation calls.", registry=registry
        )
        self.turns_total = Counter(
            "moodline_turns_total", "Turns analysed.", ["mode", "role"], registry=registry
        )
        self.rules_duration_seconds = Histogram(
            "moodline_rules_duration_seconds",
            "Time of the rules over one turn.",
            buckets=_RULES_BUCKETS_S,
            registry=registry,
        )
        self.signal_events_total = Counter(
            "moodline_signal_events_total",
            "What happened to signals of streams.",
            ["event", "reason", "severity"],
            registry=registry,
        )
        self.signal_outcomes_total = Counter(
            "moodline_signal_outcomes_total",
            "Signals that somebody resolved, by what they were worth.",
            ["reason", "outcome"],
            registry=registry,
        )
        self.signals_overdue_total = Counter(
            "moodline_signals_overdue_total",
            "Signals that expired because nobody dealt with them in time.",
            registry=registry,
        )
        self.signal_watches = Gauge(
            "moodline_signal_watches", "Open WatchSignals calls.", registry=registry
        )
        self.turns_awaiting_store = Gauge(
            "moodline_turns_awaiting_store",
            "Turns of streams whose signals are still to be kept.",
            registry=registry,
        )
        self.streams_not_kept_total = Counter(
            "moodline_streams_not_kept_total",
            "Streams of which signals were given up, as the store did not answer.",
            registry=registry,
        )
        self.model_info = Info("moodline_model", "The model that is served.", registry=registry)
        # A counter that appears only with its first event cannot be alerted on.
        for reason in DropReason:
            self.dropped_total.labels(reason=reason)
        for outcome in CacheOutcome:
            self.cache_lookups_total.labels(outcome=outcome)
        for stage in Stage:
            self.stage_duration_seconds.labels(stage=stage)

    def observe_stage(self, stage: Stage, duration_s: float) -> None:
        """Record time spent in one stage, in seconds."""
        self.stage_duration_seconds.labels(stage=stage).observe(duration_s)

    def evaluate(self, rules: Callable[[_In], _Out], turn: _In) -> _Out:
        """Apply rules to a turn, and record how long they take."""
        with self.rules_duration_seconds.time():
            return rules(turn)

    def count_signal_event(self, event: str, reason: str, severity: str) -> None:
        """Count what happened to a signal, in the words of the API."""
        self.signal_events_total.labels(event=event, reason=reason, severity=severity).inc()
