"""What people say of a contact is read from our labelled format, and from nothing else."""

from __future__ import annotations

import pytest

from moodline.backtest.contacts import attributes_of, duration_s, labels_of
from moodline.domain import EscalationLevel
from moodline.errors import InvalidRequestError
from moodline.transcripts.jsonl import JSONL
from moodline.transcripts.reading import ReadOptions, TranscriptSource
from moodline.transcripts.transcript import Transcript
from tests.unit.backtest.contacts import ESCALATE, NONE, WATCH, labels
from tests.unit.rules.results import agent, customer


def transcript(*turns: dict[str, object], **known: object) -> Transcript:
    import io
    import json

    content = json.dumps({"id": "c", "turns": turns, **known}).encode()
    (read,) = JSONL.read(TranscriptSource("f", io.BytesIO(content)), ReadOptions())
    assert isinstance(read, Transcript)
    return read


def said(text: str = "words", **known: object) -> dict[str, object]:
    return {"role": "customer", "text": text, **known}


def test_a_label_of_the_conversation_names_level_turn_and_reasons() -> None:
    known = {"escalation": "escalate", "escalation_turn": 1, "escalation_reasons": ["fraud"]}
    assert labels_of(transcript(said(), said(), labels=known)) == labels(ESCALATE, 1, "fraud")
    known = {"escalation": "watch", "escalation_turn": 1}
    assert labels_of(transcript(said(), said(), labels=known)) == labels(WATCH, 1)
    assert labels_of(transcript(said(), labels={"escalation": "none"})) == labels(NONE)


def test_a_conversation_without_labels_of_escalation_is_not_labelled() -> None:
    assert labels_of(transcript(said())) is None
    assert labels_of(transcript(said(labels={"sentiment": -1}), labels={"csat": 2})) is None


def test_labels_of_turns_tell_when_each_level_began_and_stand_above_the_conversation() -> None:
    turns = [said(labels={"escalation": level}) for level in ("none", "watch", "ESCALATE", "watch")]
    read = labels_of(transcript(*turns, labels={"escalation": "none"}))
    assert read is not None
    assert (read.level, read.watch_turn, read.escalate_turn) == (EscalationLevel.ESCALATE, 1, 2)


def test_a_turn_is_counted_where_it_stands_after_turns_were_skipped() -> None:
    known = {"escalation": "escalate", "escalation_turn": 2}
    read = labels_of(transcript(said(), said(" "), said(), labels=known))
    assert read == labels(ESCALATE, 1)
    # The labelled turn itself was skipped: the next one counts.
    assert labels_of(transcript(said(), said(), said(" "), said(), labels=known)) == labels(
        ESCALATE, 2
    )


def test_all_labels_that_mean_nothing_are_named_together() -> None:
    wrong = {"escalation": "soon", "escalation_turn": "2", "escalation_reasons": "fraud"}
    with pytest.raises(InvalidRequestError) as caught:
        labels_of(transcript(said(labels={"escalation": 3}), labels=wrong))
    assert {violation.field for violation in caught.value.violations} == {
        "labels.escalation",
        "turns[0].labels.escalation",
        "labels.escalation_turn",
        "labels.escalation_reasons",
    }


def test_a_contact_lasts_from_its_first_start_to_its_last_end() -> None:
    turns = [customer(0, start_s=2, end_s=5), agent(1, start_s=6, end_s=12), customer(2, start_s=9)]
    assert duration_s(turns) == 10
    assert duration_s([customer(0, start_s=3), agent(1)]) is None
    assert duration_s([customer(0)]) is None


def test_plain_attributes_are_given_to_rules_as_text() -> None:
    read = transcript(said(), attributes={"plan": "gold", "age": 3, "tags": ["a"]}, vip=True)
    assert attributes_of(read) == {"plan": "gold", "age": "3", "vip": "true"}
