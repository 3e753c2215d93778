"""vCon: who speaks, what is sealed, and what must not be guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from moodline.transcripts import SkipReason, SpeakerRole
from moodline.transcripts.transcript import TranscriptWarningCode
from tests.unit.transcripts.harness import SAMPLES, transcript, unreadable


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"vcon-{name}.json").read_bytes())


def test_the_document_and_the_places_of_turns_are_kept_to_write_results_back() -> None:
    document = sample("voice")
    item = transcript(document)
    assert item.document == document
    assert item.turns[1].attributes == {"dialog": 0, "segment": 1, "party": 0}
    assert item.turns[1].place == "analysis[1].body.segments[1]"
    chat = transcript(sample("chat"))
    assert [turn.attributes["dialog"] for turn in chat.turns][:3] == [0, 2, 1]


def test_a_speakers_number_is_no_party_where_the_name_says_otherwise() -> None:
    """In the sample, speaker 0 is Maya, who is party 1."""
    document = sample("voice")
    assert transcript(document).turns[0].attributes["party"] == 1
    body = document["analysis"][1]["body"]
    del body["speakers"]
    assert transcript(document).turns[0].attributes["party"] == 0
    for segment in body["segments"]:
        segment["speaker"] = f"spk_{segment['speaker']}"
    item = transcript(document)
    assert {turn.role for turn in item.turns} == {SpeakerRole.UNKNOWN}
    assert {turn.participant_id for turn in item.turns} == {"spk_0", "spk_1", "spk_2"}


def test_a_second_transcript_of_a_recording_is_not_read_again() -> None:
    document = sample("voice")
    document["analysis"].append(document["analysis"][1])
    assert len(transcript(document).turns) == 7


def test_transcripts_of_later_dialogs_are_shifted_to_their_start() -> None:
    document = sample("voice")
    document["dialog"].append({**document["dialog"][0], "start": "2026-02-03T10:05:00Z"})
    document["analysis"].append({**document["analysis"][1], "dialog": 1})
    item = transcript(document)
    assert [turn.start_ms for turn in item.turns][::7] == [620, 300_620]


def test_a_recording_without_transcript_is_counted() -> None:
    document = sample("voice")
    document["dialog"].append({**document["dialog"][0], "start": "2026-02-03T10:05:00Z"})
    item = transcript(document)
    assert [(s.reason, s.turn.place) for s in item.skipped] == [(SkipReason.NOT_TEXT, "dialog[1]")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"critical": ["CC", "our-secret-extension"]}, "critical requires 1 extensions"),
        ({"analysis": []}, "dialog holds no text and analysis no transcript"),
        (
            {
                "analysis": [
                    {"type": "transcript", "dialog": 0, "encoding": "none", "body": "Hi. Hello."}
                ]
            },
            "analysis[0].body holds no JSON; moodline reads transcripts with segments",
        ),
        (
            {"analysis": [{"type": "transcript", "body": {"segments": [{"start": "soon"}]}}]},
            "analysis[0].body.segments[0].start should be a number",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_field(change: dict[str, Any], told: str) -> None:
    message = str(unreadable({**sample("voice"), **change}))
    assert told in message
    assert "our-secret" not in message


def test_encrypted_and_broken_seals_are_refused() -> None:
    assert "is encrypted; decrypt" in str(unreadable({"ciphertext": "x", "recipients": []}))
    sealed = {"payload": "%%", "signatures": []}
    assert "payload should be a vCon as JSON in base64url" in str(unreadable(sealed))


def test_a_signed_vcon_is_read_with_a_warning() -> None:
    (warning,) = transcript(sample("signed-old")).warnings
    assert warning.code is TranscriptWarningCode.SIGNATURE_NOT_VERIFIED
