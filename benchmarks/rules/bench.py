"""Measures how right the default rules are, how early, and what they cost.

Also whether live conversations raise exactly the alerts of the backtest.

Sets that nobody has trained on need `--data-root`; without it only our own conversations are
measured, which the model has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from pydantic import TypeAdapter

from benchmarks.machine import describe_machine
from benchmarks.rules.identity import compare_live
from benchmarks.rules.sets import IDENTITY_SET, SETS, sampled
from benchmarks.rules.tables import render
from benchmarks.rules.timing import measure_times
from moodline.analyzer import ConversationAnalyzer
from moodline.app import find_artifact, open_analyzer
from moodline.backtest.contacts import Contact
from moodline.backtest.figures import RuleSetFigures, Staffing, rule_set_figures
from moodline.backtest.running import alerted
from moodline.backtest.spool import Spool, SpoolHeader, SpoolWriter
from moodline.jobs.contacts import score_contacts
from moodline.jobs.inputs import find_inputs
from moodline.jobs.items import Reading, read_items
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator
from moodline.rules.model import Severity
from moodline.rules.rule_set import RuleSet
from moodline.settings import BatchingSettings, Settings
from moodline.signals.engine import SignalEngine
from moodline.telemetry.metrics import Metrics
from moodline.transcripts import load_formats

HERE: Final = Path(__file__).parent
RESULTS: Final = "results.json"
README: Final = "README.md"
IDENTITY_CONVERSATIONS: Final = 1_000
_FIGURES: Final = TypeAdapter(RuleSetFigures)


async def scored(
    analyzer: ConversationAnalyzer, rows: Iterable[Mapping[str, Any]], folder: Path, name: str
) -> Spool:
    """Score conversations as `moodline backtest` does."""
    source, kept = folder / f"{name}.jsonl", folder / f"{name}.scores"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    artifact = analyzer.artifact
    items = read_items(find_inputs([str(source)]), Reading(load_formats()), {})
    with SpoolWriter(kept, SpoolHeader(artifact.model_version, artifact.digest)) as spool:
        async for outcome in score_contacts(items, analyzer, RequestValidator(Limits())):
            if not isinstance(outcome.scored, Contact):
                raise TypeError(f"{name}, {outcome.item.place}: {outcome.scored.violations}")
            spool.add(outcome.scored)
    return Spool(kept)


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""

    def fail(error: BaseException) -> None:
        raise error

    settings = Settings(batching=BatchingSettings(max_cache_entries=0))
    rule_set = RuleSet.default()
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "rule_set_digest": rule_set.digest,
        "sets": {},
    }
    async with open_analyzer(
        settings,
        artifact=find_artifact(settings),
        metrics=Metrics(CollectorRegistry()),
        on_fatal=fail,
    ) as analyzer:
        artifact = analyzer.artifact
        results |= {"model": artifact.model_version, "model_digest": artifact.digest}
        engine = SignalEngine(
            rule_set, model_version=artifact.model_version, configuration_digest=artifact.digest
        )
        with tempfile.TemporaryDirectory() as folder:
            for one in SETS:
                rows = sampled(one.rows(arguments.data_root), arguments.sample)
                if not rows:
                    print(f"{one.name}: its files are not there; left out")
                    continue
                print(f"{one.name}: {len(rows)} conversations", flush=True)
                spool = await scored(analyzer, rows, Path(folder), one.name)
                results["sets"][one.name] = {
                    "title": one.title,
                    "is_seen": one.is_seen,
                    "figures": figures_of(engine, spool),
                }
                if one.name == IDENTITY_SET:
                    contacts = list(spool)
            chosen = contacts[:: max(1, len(contacts) // IDENTITY_CONVERSATIONS)]
            print("live and backtest", flush=True)
            identity = await compare_live(analyzer, engine, chosen[:IDENTITY_CONVERSATIONS])
    results["identity"] = asdict(identity)
    print("times", flush=True)
    results["times"] = measure_times(rule_set, contacts, rounds=arguments.rounds)
    return results


def figures_of(engine: SignalEngine, contacts: Iterable[Contact]) -> dict[str, Any]:
    """Return the figures of the rules on some conversations, as JSON values."""
    content = engine.rule_set.content
    figures = rule_set_figures(
        [alerted(engine, contact) for contact in contacts],
        name=content.name,
        digest=engine.rule_set.digest,
        rule_ids=[rule.id for rule in content.rules if rule.severity is not Severity.INFO],
        staffing=Staffing(),
    )
    dumped: dict[str, Any] = _FIGURES.dump_python(figures, mode="json")
    return dumped


def main() -> None:
    """Measure, and write the figures and the page beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, help="folder of the data sets")
    parser.add_argument("--sample", type=int, help="conversations of each set, for a quick look")
    parser.add_argument("--rounds", type=int, default=5, help="of each timing")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the results")
    parser.add_argument("--render", action="store_true", help="the page again, measuring nothing")
    arguments = parser.parse_args()
    path = arguments.output / RESULTS
    if not arguments.render:
        results = asyncio.run(measure(arguments))
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = render(json.loads(path.read_text(encoding="utf-8")))
    (arguments.output / README).write_text(page, encoding="utf-8")
    print(page)
