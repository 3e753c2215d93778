"""Backtests with the real model and a real server: the alerts are those of live conversations."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from moodline.analyzer import ConversationAnalyzer
from moodline.backtest.comparison import compare
from moodline.backtest.contacts import Contact
from moodline.backtest.running import signal_events
from moodline.backtest.spool import Spool, SpoolHeader, SpoolWriter
from moodline.cli.commands import app
from moodline.jobs.contacts import score_contacts
from moodline.jobs.inputs import find_inputs
from moodline.jobs.items import Reading, read_items
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator
from moodline.rules.rule_set import RuleSet
from moodline.samples import load_samples, read_samples
from moodline.signals.engine import SignalEngine
from moodline.transcripts import load_formats
from moodline.v1.conversation_pb2 import Conversation
from moodline.v1.signal_service_pb2 import (
    BacktestRulesRequest,
    BacktestRulesResponse,
    EscalationLabels,
    LabelledConversation,
)
from moodline.v1.signal_service_pb2_grpc import SignalServiceStub
from tests.integration.harness import Served, configuration, converse, refusal, streamed, turn

if TYPE_CHECKING:
    # It exists for type checkers alone.
    from moodline.v1.signal_service_pb2_grpc import SignalServiceAsyncStub

TIMEOUT_S = 600
SECRET = "4111 1111"
LOUD = """
version: 1
name: loud
rules:
  - id: every_turn
    explanation: {en: Somebody spoke.}
    reason: other
    severity: low
    when: turn.index >= 0
"""


def labelled_samples() -> list[dict[str, Any]]:
    """The samples, each labelled as one that somebody had to step into at its last turn."""
    rows = [json.loads(line) for line in read_samples().splitlines()]
    for row in rows:
        row["labels"] = {
            "escalation": "escalate",
            "escalation_turn": len(row["turns"]) - 1,
            "escalation_reasons": ["fraud"],
        }
    return rows


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transcripts") / "samples.jsonl"
    lines = [json.dumps(row) for row in labelled_samples()]
    lines.insert(1, "{" + SECRET)
    lines.insert(2, json.dumps(labelled_samples()[0] | {"labels": {"escalation": SECRET}}))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


async def scored(
    analyzer: ConversationAnalyzer, transcripts: Path, path: Path
) -> tuple[Spool, list[str]]:
    """What `moodline backtest` does before any rule is tried."""
    refused: list[str] = []
    items = read_items(find_inputs([str(transcripts)]), Reading(load_formats()), {})
    artifact = analyzer.artifact
    with SpoolWriter(path, SpoolHeader(artifact.model_version, artifact.digest)) as spool:
        async for outcome in score_contacts(items, analyzer, RequestValidator(Limits())):
            if isinstance(outcome.scored, Contact):
                spool.add(outcome.scored)
            else:
                refused += [f"{v.field} {v.description}" for v in outcome.scored.violations]
    return Spool(path), refused


@pytest.mark.asyncio(loop_scope="session")
async def test_a_live_stream_raises_exactly_the_alerts_of_the_backtest(
    analyzer: ConversationAnalyzer, served: Served, transcripts: Path, tmp_path: Path
) -> None:
    contacts, _ = await scored(analyzer, transcripts, tmp_path / "scores")
    engine = SignalEngine(RuleSet.default(), model_version="m", configuration_digest="d")
    event_count = 0
    for contact, sample in zip(contacts, load_samples(), strict=True):
        turns = [
            streamed(str(index), said.text, role=said.role)
            for index, said in enumerate(sample.turns)
        ]
        for message, said in zip(turns, sample.turns, strict=True):
            message.turn.start_offset.FromMilliseconds(said.start_ms or 0)
        answers = await converse(
            served.stub.StreamConversation(),
            [
                configuration(
                    sample.conversation_id, channel=sample.channel, language=sample.language
                ),
                *turns,
            ],
        )
        live = [event for answer in answers for event in answer.signals.events]
        replayed = signal_events(engine, contact)
        assert [
            (e.event_id, e.kind, e.signal.rule_id, e.signal.severity, e.signal.state) for e in live
        ] == [
            (e.event_id, e.kind, e.signal.rule_id, e.signal.severity, e.signal.state)
            for e in replayed
        ]
        for event, other in zip(live, replayed, strict=True):
            assert other.moment is not None
            assert event.moment.turn_index == other.moment.turn_index
            assert event.signal.probability == pytest.approx(other.signal.probability, abs=1e-6)
        event_count += len(live)
    assert event_count


@pytest.mark.asyncio(loop_scope="session")
async def test_what_cannot_be_read_is_told_and_left_out(
    analyzer: ConversationAnalyzer, transcripts: Path, tmp_path: Path
) -> None:
    contacts, refused = await scored(analyzer, transcripts, tmp_path / "scores")
    assert len(list(contacts)) == len(load_samples())
    assert len(refused) == 2
    assert refused[1] == "labels.escalation should be none, watch or escalate"
    assert SECRET not in str(refused)


def stub(served: Served) -> SignalServiceAsyncStub:
    return SignalServiceStub(served.channel)


def request(rules_yaml: str, **fields: Any) -> BacktestRulesRequest:
    made = BacktestRulesRequest(rules_yaml=rules_yaml, **fields)
    for row in labelled_samples():
        conversation = Conversation(
            conversation_id=row["conversation_id"],
            channel=row["channel"],
            language=row["language"],
        )
        for said in row["turns"]:
            one = turn(said["text"], role=said["role"])
            one.start_offset.FromMilliseconds(said["start_ms"])
            conversation.turns.append(one)
        last = len(row["turns"]) - 1
        labels = EscalationLabels(
            level="ESCALATE", watch_turn_index=last, escalate_turn_index=last, reasons=["fraud"]
        )
        made.conversations.append(LabelledConversation(conversation=conversation, labels=labels))
    return made


@pytest.mark.asyncio(loop_scope="session")
async def test_the_service_tells_the_figures_of_the_command_line(
    analyzer: ConversationAnalyzer, served: Served, transcripts: Path, tmp_path: Path
) -> None:
    contacts, _ = await scored(analyzer, transcripts, tmp_path / "scores")
    expected = compare(
        RuleSet.parse(LOUD),
        RuleSet.default(),
        contacts,
        model_version=analyzer.artifact.model_version,
        configuration_digest=analyzer.artifact.digest,
    )
    response = await stub(served).BacktestRules(request(LOUD))
    assert isinstance(response, BacktestRulesResponse)
    told = response.figures
    sample_count = len(load_samples())
    assert told.contact_count == told.labelled_count == sample_count
    assert told.candidate.total.alerts.per_100 == 100
    assert told.candidate.total.detections[0].recall.value == 1
    assert told.in_force.digest == RuleSet.default().digest
    assert told.in_force.total.alerts.alert_count == expected.in_force.total.alerts.alert_count > 0
    lead = expected.candidate.total.detections[0].lead_time
    assert told.candidate.total.detections[0].lead_time.median_turns == lead.median_turns
    assert told.candidate.load.contacts_per_hour == pytest.approx(
        expected.candidate.load.contacts_per_hour
    )
    assert told.difference.gained.count == expected.difference.gained.count
    assert {one.number for one in told.difference.gained.contacts} <= set(
        range(1, sample_count + 1)
    )
    assert {group.name for group in told.candidate.languages} == {"en", "tr", "ar"}


@pytest.mark.asyncio(loop_scope="session")
async def test_a_given_rate_of_contacts_stands_above_their_durations(served: Served) -> None:
    response = await stub(served).BacktestRules(
        request(LOUD, supervisor_count=2, contacts_per_hour=50)
    )
    load = response.figures.candidate.load
    assert (load.supervisor_count, load.is_given, load.alerts_per_hour) == (2, True, 25)


@pytest.mark.asyncio(loop_scope="session")
async def test_rules_that_cannot_be_used_are_refused_by_line(served: Served) -> None:
    told = await refusal(stub(served).BacktestRules(request(LOUD.replace("turn.index", "turn.i"))))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RULES")
    assert "rules[0].when" in told.violations


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda r: r.ClearField("conversations"), "conversations"),
        (lambda r: r.conversations.extend(list(r.conversations) * 20), "conversations"),
        (lambda r: r.ClearField("rules_yaml"), "rules_yaml"),
        (lambda r: setattr(r, "supervisor_count", -1), "supervisor_count"),
        (lambda r: setattr(r, "contacts_per_hour", float("nan")), "contacts_per_hour"),
        (
            lambda r: setattr(r.conversations[1].labels, "level", "SOON"),
            "conversations[1].labels.level",
        ),
        (
            lambda r: setattr(r.conversations[1].labels, "watch_turn_index", -1),
            "conversations[1].labels.watch_turn_index",
        ),
        (
            lambda r: setattr(r.conversations[2].conversation.turns[0], "text", ""),
            "conversations[2].conversation.turns[0].text",
        ),
        (
            lambda r: r.conversations[0].ClearField("conversation"),
            "conversations[0].conversation.conversation_id",
        ),
    ],
)
async def test_a_bad_request_is_refused_by_field(served: Served, spoil: Any, field: str) -> None:
    asked = request(LOUD)
    spoil(asked)
    told = await refusal(stub(served).BacktestRules(asked))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in told.violations


def backtest(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


@pytest.fixture(scope="module")
def scores(transcripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scored by the program as a person runs it; everything else is tried on these."""
    folder = tmp_path_factory.mktemp("scores")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "moodline", "backtest", "default", transcripts),
            *("--scores", folder / "kept", "--json", folder / "first.json"),
        ],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "2 conversations are left out" in done.stderr
    assert "labels.escalation" in done.stderr
    assert "Alerts of at least a severity, against labels" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    return folder / "kept"


def test_kept_scores_give_the_same_figures_without_transcripts(
    scores: Path, tmp_path: Path
) -> None:
    result = backtest("default", "--scores", scores, "--json", tmp_path / "again.json")
    assert result.exit_code == 0, result.output
    first = json.loads((scores.parent / "first.json").read_text("utf-8"))
    again = json.loads((tmp_path / "again.json").read_text("utf-8"))
    assert (first.pop("refused_count"), again.pop("refused_count")) == (2, 0)
    assert first == again
    assert again["figures"]["labelled_count"] == len(load_samples())


def test_all_reports_of_a_budget_are_written(scores: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RuleSet.default_text(), encoding="utf-8")
    result = backtest(
        *(rules, "--scores", scores, "--against", "default", "--alerts-per-100", "150"),
        *("--patch", tmp_path / "p", "--html", tmp_path / "h.html", "--json", tmp_path / "j"),
    )
    assert result.exit_code == 0, result.output
    budget = json.loads((tmp_path / "j").read_text("utf-8"))["budget"]
    assert budget["chosen"]["alerts"]["per_100"] <= 150
    subprocess.run(["patch", rules, tmp_path / "p"], check=True, capture_output=True)
    tuned = {rule.id: rule.min_probability for rule in RuleSet.load(rules).content.rules}
    assert budget["changes"]
    assert all(tuned[rule_id] == now for rule_id, (_, now) in budget["changes"].items())
    page = (tmp_path / "h.html").read_text("utf-8")
    assert page.count("<svg") == 3
    # Nothing is fetched: no address is anywhere but in names of XML.
    assert not re.findall(r"""(?:src|href)="(?!#)|url\((?!#)|@import|<script""", page)


def test_the_alerts_of_candidates_are_told_beside_those_in_force(
    scores: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "loud.yaml"
    rules.write_text(LOUD, encoding="utf-8")
    result = backtest(rules, "--scores", scores, "--contacts-per-hour", "60", "--supervisors", "2")
    assert result.exit_code == 0, result.output
    assert re.search(r"alerts a 100 contacts +100\.0", result.output)
    assert re.search(
        r"alerts an hour, one of 2 supervisors, 60 contacts an hour +30\.00", result.output
    )
    assert re.search(r"\d contacts gain their first alert: sample-", result.output)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["default"], "There are no transcripts"),
        (["none.yaml", "--scores", "{scores}"], "none.yaml: No such file"),
        (["{bad}", "--scores", "{scores}"], "bad.yaml:9: rule every_turn: rules[0].when"),
        (["default", "{bad}", "--scores", "{scores}"], "holds scores already"),
        (["default", "--scores", "{bad}"], "holds no scores of contacts"),
        (["default", "--scores", "{scores}", "--patch", "p"], "--patch needs --alerts-per-100"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_remedy(
    scores: Path, tmp_path: Path, arguments: list[str], problem: str
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(LOUD.replace("turn.index", "turn.i"), encoding="utf-8")
    result = backtest(*(one.format(scores=scores, bad=bad) for one in arguments))
    assert result.exit_code == 2
    assert problem in " ".join(result.output.split())
