"""Our own JSON: labels and attributes stay, misspelt keys are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moodline.samples import load_samples, read_samples
from moodline.transcripts import SpeakerRole, Transcript, open_source, read_transcripts
from tests.unit.transcripts.harness import read, transcript, unreadable

ROOT = Path(__file__).parents[3]
SECRET = "my card number is 4111"


@pytest.mark.parametrize("language", ["en", "tr", "ar"])
def test_our_labelled_conversations_are_read_with_their_labels(language: str) -> None:
    path = ROOT / "models" / "data" / f"conversations_{language}.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with open_source(path) as source:
        items = list(read_transcripts(source))
    assert len(items) == len(records)
    for item, record in zip(items, records, strict=True):
        assert isinstance(item, Transcript), str(item)
        assert (item.conversation_id, item.language) == (record["id"], record["lang"])
        assert item.labels == record["labels"]
        assert [turn.labels for turn in item.turns] == [
            turn.get("labels", {}) for turn in record["turns"]
        ]
        assert [turn.role for turn in item.turns] == [turn["speaker"] for turn in record["turns"]]


def test_the_samples_of_the_service_are_read_as_it_reads_them() -> None:
    items = read(read_samples())
    conversations = tuple(item.conversation for item in items if isinstance(item, Transcript))
    assert conversations == load_samples()


def test_unknown_keys_become_attributes() -> None:
    turn = {"role": "customer", "text": "hi", "queue": "faults", "attributes": {"mood": 1}}
    item = transcript({"id": "a", "turns": [turn], "tier": "gold", "attributes": {"n": 2}})
    assert item.attributes == {"n": 2, "tier": "gold"}
    assert item.turns[0].attributes == {"mood": 1, "queue": "faults"}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"languages": "en"}, "languages is no key of a conversation; language may be meant"),
        (
            {"turns": [{"role": "agent", "text": SECRET, "start_msec": 1}]},
            "turns[].start_msec is no key of a conversation; start_ms may be meant",
        ),
    ],
)
def test_a_misspelt_key_is_refused(record: dict[str, object], told: str) -> None:
    message = str(unreadable({"turns": [{"role": "agent", "text": "hi"}], **record}))
    assert told in message
    assert SECRET not in message


def test_roles_may_be_written_in_any_words() -> None:
    turns = [{"role": role, "text": "hi"} for role in ("END_USER", "temsilci", "supervisor", "?")]
    assert [turn.role for turn in transcript({"turns": turns}).turns] == [
        SpeakerRole.CUSTOMER,
        SpeakerRole.AGENT,
        SpeakerRole.SUPERVISOR,
        SpeakerRole.UNKNOWN,
    ]
