"""Reads cases with the shipped model and tells which of them hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from moodline.analyzer import AnalysisOptions
from moodline.app import find_artifact, open_analyzer
from moodline.domain import TurnScores
from moodline.settings import load_settings
from moodline.telemetry.metrics import Metrics
from tests.model.behaviour.cases import Case, Expect, Group


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case: nothing to object, or what was found instead."""

    case: Case
    objection: str

    @property
    def is_passed(self) -> bool:
        """Whether the case holds."""
        return not self.objection


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts on all cases by one model."""

    model_version: str
    verdicts: tuple[Verdict, ...]


async def judge(cases: Sequence[Case]) -> Judgement:
    """Read every variant of every case with the bundled model, all at once, and judge.

    Raises:
        ArtifactError: If the artifact is not what its manifest says.
    """
    deaths: list[BaseException] = []
    settings = load_settings({})
    artifact = find_artifact(settings)
    async with open_analyzer(
        settings,
        artifact=artifact,
        metrics=Metrics(CollectorRegistry()),
        on_fatal=deaths.append,
    ) as analyzer:
        options = AnalysisOptions(is_evidence_wanted=False)
        analyses = await asyncio.gather(
            *(analyzer.analyze(v, options=options) for case in cases for v in case.variants)
        )
    assert not deaths
    found = iter([analysis.turns[-1].scores for analysis in analyses])
    verdicts = [
        Verdict(case, objection_to(case.group, [next(found) for _ in case.variants]))
        for case in cases
    ]
    return Judgement(artifact.model_version, tuple(verdicts))


def objection_to(group: Group, found: Sequence[TurnScores | None]) -> str:
    """What speaks against a case, given the results of its variants; empty if nothing."""
    scored = [scores for scores in found if scores is not None]
    if len(scored) < len(found):
        return "a variant has no scores"
    objections: list[str] = []
    if group.expect:
        objections += [o for scores in scored if (o := _unexpected(group.expect, scores))]
    if group.same:
        spread = _spread([scores.sentiment.score for scores in scored])
        if spread > group.same.score:
            objections.append(f"scores {spread:.2f} apart")
        if group.same.escalation is not None:
            spread = _spread([scores.escalation.probability for scores in scored])
            if spread > group.same.escalation:
                objections.append(f"escalation {spread:.2f} apart")
    if group.change is not None:
        change = scored[-1].sentiment.score - scored[0].sentiment.score
        if change < group.change if group.change > 0 else change > group.change:
            objections.append(f"score changes by {change:+.2f}")
    return "; ".join(objections)


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _unexpected(expect: Expect, scores: TurnScores) -> str:
    tags = {tag.name for tag in scores.tags}
    objections = []
    if expect.sentiment and scores.sentiment.label not in expect.sentiment:
        objections.append(f"{scores.sentiment.label} ({scores.sentiment.score:+.2f})")
    if expect.urgency and scores.urgency.level not in expect.urgency:
        objections.append(f"urgency {scores.urgency.level}")
    if missing := expect.tags - tags:
        objections.append(f"without {', '.join(sorted(missing))}")
    if surplus := expect.no_tags & tags:
        objections.append(f"with {', '.join(sorted(surplus))}")
    return ", ".join(objections)
