"""Results in every form that `moodline score` writes, of conversations that were made up."""

from __future__ import annotations

import html.parser
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moodline import domain
from moodline.errors import FieldViolation
from moodline.jobs.answers import Refused, Scored, analysis_line
from moodline.jobs.inputs import find_inputs
from moodline.jobs.items import Item, Reading, read_items
from moodline.jobs.outcomes import Outcome
from moodline.jobs.outputs.formats import output_of
from moodline.jobs.outputs.output import error_lines
from moodline.jobs.outputs.vcon import VconOutput
from moodline.jobs.result_format import ResultFormat
from moodline.rollup import RollupAccumulator
from moodline.rpc.convert import analysis_to_proto
from moodline.transcripts import load_formats

CONVERSATION_COUNT = 60
HOSTILE_ID = "<script>alert('id')</script>"
STAGES = ("consideration", "purchase", "support", "renewal", "none")
TAGS = ("billing", "delivery", "complaint", "praise", "resolved", "unresolved")
LANGUAGES = ("en", "tr", "ar", "de")
VOID_ELEMENTS = frozenset({"meta", "br", "hr", "img", "link", "input"})


def write_vcons(folder: Path) -> list[Path]:
    """Write conversations as vCons; the first says nothing as a customer, the last is refused."""
    source = random.Random(5)
    files = []
    for number in range(CONVERSATION_COUNT):
        turn_count = source.randint(1, 14)
        parties = [number == 0 or turn % 2 == 1 for turn in range(turn_count)]
        document = {
            "vcon": "0.4.0",
            "uuid": HOSTILE_ID if number == 1 else f"شكوى-{number}",
            "created_at": "2026-02-04T08:32:10.000+00:00",
            "parties": [{"name": "C", "role": "customer"}, {"name": "A", "role": "agent"}],
            "dialog": [
                {
                    "type": "text",
                    "start": f"2026-02-04T08:{turn:02}:00.000+00:00",
                    "parties": [int(is_agent), 1 - int(is_agent)],
                    "mediatype": "text/plain",
                    "encoding": "none",
                    "body": f"SECRET words {turn}",
                }
                for turn, is_agent in enumerate(parties)
            ],
        }
        file = folder / f"{number:03}.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        files.append(file)
    return files


def outcomes_of(files: list[Path]) -> list[Outcome]:
    source = random.Random(7)
    inputs = find_inputs([str(file) for file in files])
    items = [
        one for one in read_items(inputs, Reading(load_formats()), {}) if isinstance(one, Item)
    ]
    assert len(items) == len(files)
    refused = Refused("INVALID_REQUEST", (FieldViolation("turns", "has <too> many; split it"),))
    return [
        *(Outcome(one, _scored(one, source)) for one in items[:-1]),
        Outcome(items[-1], refused),
    ]


def _scored(item: Item, source: random.Random) -> Scored:
    assert item.transcript is not None
    rollup = RollupAccumulator()
    results = []
    for index, said in enumerate(item.transcript.turns):
        turn = domain.Turn(role=said.role.domain_role, text=said.text)
        is_customer = turn.role is domain.Role.CUSTOMER
        results.append(
            domain.TurnResult(
                index,
                turn,
                _scores(source) if is_customer else None,
                None if is_customer else domain.Absence.NOT_CUSTOMER,
            )
        )
        rollup.add(results[-1])
    language = source.choice(LANGUAGES)
    has_warning = source.random() < 0.3
    analysis = domain.ConversationAnalysis(
        conversation_id=item.conversation_id,
        turns=tuple(results),
        rollup=rollup.rollup(),
        model_version="sample 1",
        configuration_digest="d" * 64,
        language=language,
        is_language_measured=language != "de",
        warnings=(
            (domain.AnalysisWarning(domain.WarningCode.ROLE_UNCERTAIN, "Look."),)
            if has_warning
            else ()
        ),
    )
    return Scored(analysis_line(analysis_to_proto(analysis)))


def _scores(source: random.Random) -> domain.TurnScores:
    escalation = source.choice(list(domain.EscalationLevel))
    urgency = source.choice(list(domain.UrgencyLevel))
    tags = source.sample(TAGS, source.randint(0, 3))
    return domain.TurnScores(
        sentiment=domain.Sentiment(
            source.choice(list(domain.SentimentLabel)), source.uniform(-1, 1), {}
        ),
        urgency=domain.Urgency(urgency, {urgency: 1.0}),
        stage=domain.NamedProbability(source.choice(STAGES), 0.5),
        tags=tuple(domain.NamedProbability(tag, 0.5) for tag in tags),
        escalation=domain.Escalation(escalation, 0.5, {escalation: 1.0}),
        expected_csat=source.uniform(1, 5),
        evidence=(domain.Evidence(0, 6, "SECRET", "sentiment", 0.5),),
    )


def write_results(folder: Path, outcomes: list[Outcome]) -> dict[ResultFormat, Path]:
    """Write outcomes in all forms, in two parts each."""
    written = {}
    for form in ResultFormat:
        output = output_of(form)
        if form is ResultFormat.VCON:
            output = VconOutput(clock=lambda: datetime(2026, 2, 4, tzinfo=UTC))
        parts = [folder / f"{form}-{number}" for number in (1, 2)]
        middle = len(outcomes) // 2
        for part, some, first in (
            (parts[0], outcomes[:middle], 1),
            (parts[1], outcomes[middle:], middle + 1),
        ):
            part.mkdir()
            output.write_part(some, part, first_number=first)
        written[form] = folder / ("r.jsonl" if form is ResultFormat.JSONL else f"r-{form}")
        output.assemble(parts, written[form])
    (folder / "r-vcon.errors.jsonl").write_bytes(error_lines(outcomes))
    return written


class Html(html.parser.HTMLParser):
    """Reads a page; fails where elements are not closed in their order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.source = page
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID_ELEMENTS:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def records(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
