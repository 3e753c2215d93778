"""What the JSON of vendors holds besides the turns of the samples."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moodline.transcripts import (
    ReadOptions,
    SkipReason,
    SpeakerRole,
    Transcript,
    UnreadableItem,
    VendorSentiment,
)
from moodline.transcripts.transcript import TranscriptWarningCode
from tests.unit.transcripts.harness import SAMPLES, read, transcript, unreadable

SECRET = "my card number is 4111"
DOCUMENTS = sorted(path.name for path in SAMPLES.glob("*.json"))


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_bytes())


def codes(item: Transcript) -> list[TranscriptWarningCode]:
    return [warning.code for warning in item.warnings]


def test_everything_wrong_with_a_document_is_told_by_path() -> None:
    document = sample("contact-lens")
    document["Transcript"][1]["Content"] = [SECRET]
    document["Transcript"][2]["BeginOffsetMillis"] = SECRET
    document["Transcript"][4] = SECRET
    problem = unreadable(document, name="call.json")
    assert [violation.field for violation in problem.violations] == [
        "Transcript[1].Content",
        "Transcript[2].BeginOffsetMillis",
        "Transcript[4]",
    ]
    assert SECRET not in str(problem)


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_document_makes_a_reader_fail_or_quote(data: st.DataObject) -> None:
    """Whatever stands anywhere in a document, it is read or refused with its field."""
    document = copy.deepcopy(sample(data.draw(st.sampled_from(DOCUMENTS)).removesuffix(".json")))
    value = data.draw(
        st.sampled_from(
            [None, "", SECRET, -1, 0, 10**30, 1.5, True, [], {}, [SECRET], {"a": SECRET}, [[1]]]
        )
    )
    node: Any = document
    while True:
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            node[key] = value
            break
        node = node[key]
    for item in read(document):
        if isinstance(item, UnreadableItem):
            assert item.violations
            assert "made the reader" not in str(item)
            assert SECRET not in str(item)
        else:
            assert all(turn.text.strip() for turn in item.turns)
            assert item.conversation.turns is not None


def test_contact_lens_scores_and_spans_are_kept() -> None:
    call = transcript(sample("contact-lens"))
    assert call.vendor_sentiment == {
        "agent": VendorSentiment("", 0.3),
        "customer": VendorSentiment("", -0.5),
    }
    assert call.turns[1].attributes == {"issue_spans": [[4, 29]]}
    assert call.turns[3].attributes == {"redacted_ms": [[16600, 17900]]}
    chat = transcript(sample("contact-lens-chat"))
    assert chat.turns[1].vendor_sentiment == VendorSentiment("NEGATIVE", -1.0)
    assert chat.turns[1].attributes == {"progressive_score": -0.5}


def test_contact_lens_chat_keeps_redactions_that_have_offsets() -> None:
    document = sample("contact-lens-chat")
    message = next(i for i in document["Transcript"] if i["Type"] == "MESSAGE")
    message["Redaction"] = {"CharacterOffsets": [{"BeginOffsetChar": 0, "EndOffsetChar": 7}]}
    assert transcript(document).turns[0].redactions == ((0, 7),)


def test_pages_that_overlap_hold_a_turn_once() -> None:
    document = sample("contact-lens-realtime")
    document["Segments"] += document["Segments"][-2:]
    item = transcript(document)
    assert len(item.turns) == 5
    assert [skipped.reason for skipped in item.skipped] == [SkipReason.DUPLICATE] * 2


def test_an_id_with_other_words_is_dropped_and_told() -> None:
    document = sample("contact-lens")
    for turn in document["Transcript"]:
        turn["Id"] = "same"
    document["Transcript"][0]["Id"] = "x" * 129
    item = transcript(document)
    assert [turn.turn_id for turn in item.turns] == ["", "same", *[""] * 5]
    assert codes(item) == [TranscriptWarningCode.TURN_ID_DROPPED]


def test_an_unknown_role_is_told_and_never_scored_as_a_customer() -> None:
    document = sample("azure")
    for turn in document["analysisInput"]["conversations"][0]["conversationItems"]:
        del turn["role"]
    item = transcript(document)
    assert {turn.role for turn in item.turns} == {SpeakerRole.UNKNOWN}
    assert codes(item) == [TranscriptWarningCode.ROLE_UNKNOWN]
    assert {turn.role.value for turn in item.conversation.turns} == {"agent"}
    roles = {
        "OMAR": SpeakerRole.CUSTOMER,
        "maya": SpeakerRole.AGENT,
        "ines": SpeakerRole.SUPERVISOR,
    }
    named = transcript(document, options=ReadOptions(roles=roles))
    assert [turn.role for turn in named.turns][-2:] == [
        SpeakerRole.SUPERVISOR,
        SpeakerRole.CUSTOMER,
    ]
    assert codes(named) == []


def test_a_role_can_be_given_by_the_name_of_a_participant() -> None:
    item = transcript(sample("zendesk"), options=ReadOptions(roles={"Robi": SpeakerRole.BOT}))
    assert item.turns[0].is_bot


def test_a_stream_that_ends_within_an_utterance_keeps_its_words() -> None:
    event = {
        "UtteranceId": "u",
        "ParticipantRole": "CUSTOMER",
        "Transcript": "I was",
        "IsPartial": True,
    }
    item = transcript(json.dumps({"UtteranceEvent": event}))
    assert [turn.text for turn in item.turns] == ["I was"]
    assert codes(item) == [TranscriptWarningCode.INCOMPLETE]


def test_a_stream_with_a_broken_event_is_refused_whole() -> None:
    text = (SAMPLES / "transcribe-stream.jsonl").read_text(encoding="utf-8")
    problem = unreadable(text.replace('"IsPartial": false', f'"IsPartial": "{SECRET}"', 1))
    assert problem.violations[0].field == "UtteranceEvent.IsPartial"
    assert SECRET not in str(problem)


@pytest.mark.parametrize(
    "duration",
    [3480, "3480", {"milliseconds": 3480}, {"millis": 3480}, {"seconds": 3, "nanos": 480e6}],
)
def test_genesys_durations_are_read_in_every_spelling(duration: object) -> None:
    document = sample("genesys")
    document["transcripts"][1]["phrases"][0]["duration"] = duration
    assert transcript(document).turns[1].end_ms == 4100


def test_genesys_speakers_are_of_the_company_where_no_participant_tells() -> None:
    document = sample("genesys")
    document["participants"] = []
    roles = [turn.role for turn in transcript(document).turns]
    assert set(roles) == {SpeakerRole.AGENT, SpeakerRole.CUSTOMER}


def test_twilio_results_alone_are_told_to_hold_no_words() -> None:
    document = {"operator_results": [{"operator_type": "extract"}]}
    assert "sentences is missing: operator results alone hold no words" in str(unreadable(document))


def test_twilio_sentences_without_their_transcript_need_roles() -> None:
    document = {"sentences": sample("twilio")["sentences"], "meta": {"next_page_url": "https://x"}}
    item = transcript(document)
    assert codes(item) == [TranscriptWarningCode.INCOMPLETE, TranscriptWarningCode.ROLE_UNKNOWN]
    assert {one.participant_id for one in item.participants} == {"1", "2"}
    assert transcript(sample("twilio")).vendor_sentiment == {
        "conversation": VendorSentiment("MIXED", 0.0)
    }


def test_zendesk_knows_the_customer_without_users() -> None:
    document = sample("zendesk")
    del document["users"]
    document["meta"]["has_more"] = True
    item = transcript(document)
    assert [turn.role for turn in item.turns].count(SpeakerRole.CUSTOMER) == 4
    assert codes(item) == [TranscriptWarningCode.INCOMPLETE, TranscriptWarningCode.ROLE_UNKNOWN]
    assert item.vendor_sentiment == {"conversation": VendorSentiment("VERY_NEGATIVE", -1.0)}


def test_intercom_notes_of_every_kind_stay_private() -> None:
    document = sample("intercom")
    for part in document["conversation_parts"]["conversation_parts"]:
        if part["part_type"] == "note":
            part["part_type"] = "note_and_reopen"
    item = transcript(document)
    assert [s.reason for s in item.skipped].count(SkipReason.PRIVATE_NOTE) == 1


def test_one_document_may_hold_many_conversations() -> None:
    document = sample("azure")
    whole = document["analysisInput"]["conversations"]
    whole.append({**whole[0], "id": None})
    assert [item.conversation_id for item in read(document, name="x.json")] == [
        whole[0]["id"],
        "x-2",
    ]


def test_a_language_that_is_none_is_told() -> None:
    document = sample("contact-lens")
    document["LanguageCode"] = "English (US)"
    item = transcript(document)
    assert item.language == ""
    assert codes(item) == [TranscriptWarningCode.LANGUAGE_NOT_READ]
