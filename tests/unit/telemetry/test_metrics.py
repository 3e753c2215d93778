"""The names that dashboards and alerts read."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from moodline.telemetry.metrics import DropReason, Metrics, Stage


def test_the_names_are_the_documented_ones() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.model_info.info({"version": "1"})
    names = {family.name for family in registry.collect()}
    assert names == {
        "moodline_rpc_duration_seconds",
        "moodline_stage_duration_seconds",
        "moodline_queue_tokens",
        "moodline_queue_entries",
        "moodline_batch_rows",
        "moodline_batch_fill_ratio",
        "moodline_batches",
        "moodline_inference_failures",
        "moodline_shed",
        "moodline_dropped",
        "moodline_cache_lookups",
        "moodline_live_streams",
        "moodline_turns",
        "moodline_rules_duration_seconds",
        "moodline_signal_events",
        "moodline_signal_outcomes",
        "moodline_signals_overdue",
        "moodline_signal_watches",
        "moodline_turns_awaiting_store",
        "moodline_streams_not_kept",
        "moodline_model",
    }
    assert 'moodline_model_info{version="1"} 1.0' in generate_latest(registry).decode()


def test_two_registries_do_not_share_counts() -> None:
    one, other = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.dropped_total.labels(reason=DropReason.EXPIRED).inc()
    assert other.registry.get_sample_value("moodline_dropped_total", {"reason": "expired"}) == 0


def test_a_stage_is_observed_under_its_name() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.observe_stage(Stage.ENGINE, 0.5)
    assert (
        metrics.registry.get_sample_value(
            "moodline_stage_duration_seconds_sum", {"stage": "engine"}
        )
        == 0.5
    )
