"""Reads results that are vCons with our analysis in them.

By their form they hold no warnings and no signals, and not whether a language was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from moodline.jobs.outputs.vcon import (
    ESCALATION_SCHEMA,
    JOURNEY_SCHEMA,
    SENTIMENT_SCHEMA,
    VENDOR,
)
from moodline.reports.errors import ReportError
from moodline.reports.records import (
    Csat,
    EscalationRecord,
    Named,
    Record,
    SentimentRecord,
    StageRecord,
    TurnSentimentRecord,
    UrgencyRecord,
    names_of,
    problem_of,
    rollup_of,
)
from moodline.reports.results import ScoredConversation, ScoredTurn, legible
from moodline.transcripts import Transcript, open_source, read_transcripts

VCON_ENDING: Final = ".vcon.json"
_FORMAT: Final = "vcon"


class _Place(Record):
    dialog: int | None = None
    segment: int | None = None


class _SentimentOfTurn(_Place):
    sentiment: TurnSentimentRecord


class _JourneyOfTurn(_Place):
    stage: Named | None = None
    tags: tuple[Named, ...] = ()


class _Provenance(Record):
    model_version: str
    configuration_digest: str


class _SentimentBody(Record):
    language: str = "und"
    absence: str = ""
    expected_csat: Csat | None = None
    sentiment: SentimentRecord | None = None
    turns: tuple[_SentimentOfTurn, ...]
    provenance: _Provenance


class _JourneyBody(Record):
    stage: StageRecord | None = None
    turns: tuple[_JourneyOfTurn, ...]


class _EscalationBody(Record):
    urgency: UrgencyRecord | None = None
    escalation: EscalationRecord | None = None


_Body = TypeVar("_Body", bound=BaseModel)


def read_vcon(path: Path) -> ScoredConversation:
    """Read the newest analysis by moodline in a vCon.

    Raises:
        ReportError: If the file is no vCon, or has no such analysis.
        OSError: If it cannot be read.
    """
    with open_source(path) as source:
        transcript = next(read_transcripts(source, format_name=_FORMAT), None)
    if not isinstance(transcript, Transcript) or transcript.document is None:
        raise ReportError(f"{path} is no vCon that can be read; see docs/formats.md.")
    sentiment = _newest(path, transcript.document, SENTIMENT_SCHEMA, _SentimentBody)
    journey = _newest(path, transcript.document, JOURNEY_SCHEMA, _JourneyBody)
    escalation = _newest(path, transcript.document, ESCALATION_SCHEMA, _EscalationBody)
    try:
        rollup = rollup_of(
            sentiment.sentiment,
            escalation.urgency,
            escalation.escalation,
            journey.stage,
            sentiment.expected_csat,
        )
        turns = tuple(_turns(transcript, sentiment, journey))
    except ValueError:
        raise ReportError(
            f"{path}: its analyses are not of the same turns; score it anew."
        ) from None
    except ReportError as error:
        raise ReportError(f"{path}: {error}.") from None
    made = sentiment.provenance
    return ScoredConversation(
        conversation_id=legible(transcript.conversation_id),
        source=legible(path.name),
        number=None,
        channel=legible(transcript.channel),
        language=legible(sentiment.language),
        is_language_measured=None,
        turn_count=len(transcript.turns),
        rollup=rollup,
        absence=legible(sentiment.absence),
        turns=turns,
        warnings=None,
        signals=None,
        model=(legible(made.model_version), legible(made.configuration_digest)),
    )


def _newest(path: Path, document: Mapping[str, object], schema: str, model: type[_Body]) -> _Body:
    analyses = document.get("analysis")
    bodies = [
        one.get("body")
        for one in (analyses if isinstance(analyses, list) else [])
        if isinstance(one, Mapping) and (one.get("vendor"), one.get("schema")) == (VENDOR, schema)
    ]
    if not bodies:
        raise ReportError(
            f"{path} has no analysis {schema} by moodline; score it first, with --to vcon."
        )
    try:
        return model.model_validate(bodies[-1])
    except ValidationError as error:
        problem = problem_of(error)
    raise ReportError(f"{path}: the analysis {schema} is not as moodline writes it: {problem}.")


def _turns(
    transcript: Transcript, sentiment: _SentimentBody, journey: _JourneyBody
) -> Iterator[ScoredTurn]:
    """Yield the turns of both analyses, with their index among all turns of the transcript.

    Raises:
        ValueError: If one has more turns than the other.
    """
    places = (
        (index, (said.attributes.get("dialog"), said.attributes.get("segment")))
        for index, said in enumerate(transcript.turns)
    )
    for mood, step in zip(sentiment.turns, journey.turns, strict=True):
        own = (mood.dialog, mood.segment)
        # Both are in the order of the transcript, so that what was passed is never needed again.
        yield ScoredTurn(
            turn_index=next((index for index, place in places if place == own), None),
            label=mood.sentiment.label,
            score=mood.sentiment.score,
            stage=legible(step.stage.name) if step.stage else "none",
            tags=names_of(step.tags),
        )
