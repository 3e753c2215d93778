"""What a bad request is told: every violation at once, where it stands and what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from moodline.buf.validate import validate_pb2
from moodline.limits import Limits
from moodline.rpc.validation import MAX_REPORTED_VIOLATIONS, TURNS_PER_STEP, RequestValidator
from moodline.v1.analysis_service_pb2 import (
    AnalyzeConversationRequest,
    BatchAnalyzeConversationsRequest,
    StreamConfiguration,
    StreamConversationRequest,
)
from moodline.v1.conversation_pb2 import Conversation, Turn

VALIDATOR = RequestValidator(Limits())


def conversation(*turns: Turn) -> Conversation:
    return Conversation(conversation_id="c1", turns=turns)


def turn(
    text: str = "Where is my parcel?",
    *,
    turn_id: str = "",
    role: str = "customer",
    is_final: bool | None = None,
) -> Turn:
    return Turn(turn_id=turn_id, role=role, text=text, is_final=is_final)


def violations(message: Message, *, path: str = "") -> dict[str, str]:
    """Describe the violations by field; no test here expects two at one field."""
    found = VALIDATOR.collect_violations(message, path=path)
    by_field = {violation.field: violation.description for violation in found}
    assert len(by_field) == len(found)
    return by_field


def analysis_violations(*turns: Turn) -> dict[str, str]:
    return violations(AnalyzeConversationRequest(conversation=conversation(*turns)))


def test_a_good_request_has_no_violations() -> None:
    first = turn("My card was stolen!", turn_id="t1")
    first.start_offset.FromMilliseconds(0)
    first.end_offset.FromMilliseconds(0)
    assert analysis_violations(first, turn("Let me see.", role="agent"), turn("ok")) == {}


def test_a_request_without_a_conversation_is_refused() -> None:
    assert violations(AnalyzeConversationRequest()) == {
        "conversation": "is empty, but required; fill it in"
    }


def test_an_empty_conversation_is_refused() -> None:
    assert violations(AnalyzeConversationRequest(conversation=Conversation())) == {
        "conversation.conversation_id": "is empty, but required; fill it in",
        "conversation.turns": "is empty, but required; fill it in",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\t \x0b\x85",
        "\u00a0\u2003\u3000",
        "\u200b\u200f\ufeff",
        "\x00\x1b",
        "\u202e \u202c",
    ],
)
def test_text_without_a_visible_character_is_refused(text: str) -> None:
    assert analysis_violations(turn(), turn(text)) == {
        "conversation.turns[1].text": "is empty, or holds nothing but white space, control and "
        "format characters; leave the turn out"
    }


@pytest.mark.parametrize(
    "text",
    ["😀", "👍🏽", "👨\u200d👩\u200d👧", "?", "\u202ekan\u202c", "\x00a", "شكرا", "①", "\u200ba"],
)
def test_emoji_control_and_bidirectional_characters_are_accepted(text: str) -> None:
    assert analysis_violations(turn(text)) == {}


def test_a_long_turn_is_accepted_up_to_the_limit_in_code_points() -> None:
    assert analysis_violations(turn("😀" * 20_000)) == {}


def test_a_turn_over_the_limit_is_told_limit_value_and_remedy() -> None:
    assert analysis_violations(turn("x" * 200_000)) == {
        "conversation.turns[0].text": "has 200000 characters, at most 20000 are allowed; split it "
        "into several turns"
    }


def test_too_many_turns_are_pointed_to_the_stream() -> None:
    assert analysis_violations(*[turn(text="")] * 10_000) == {
        "conversation.turns": "has 10000 turns, at most 2000 are allowed; send the conversation "
        "through StreamConversation"
    }


def test_too_much_text_in_all_is_pointed_to_the_stream() -> None:
    assert analysis_violations(*[turn("x" * 20_000)] * 51) == {
        "conversation.turns": "has 1020000 characters, at most 1000000 are allowed; send the "
        "conversation through StreamConversation"
    }


def test_an_unknown_role_is_told_the_roles() -> None:
    assert analysis_violations(turn(role="supervisor")) == {
        "conversation.turns[0].role": "is none of customer, agent, bot; use one of these"
    }


def test_a_duplicate_turn_id_names_both_turns() -> None:
    turns = [turn(turn_id="a"), turn(turn_id="b"), turn(), turn(), turn(turn_id="a")]
    assert analysis_violations(*turns) == {
        "conversation.turns[4].turn_id": "turns[4] repeats the id of turns[0]; give every turn an "
        "id of its own or none"
    }


def test_an_id_over_the_limit_is_refused() -> None:
    assert analysis_violations(turn(turn_id="t" * 129)) == {
        "conversation.turns[0].turn_id": "has 129 characters, at most 128 are allowed; shorten it"
    }


def test_offsets_must_be_in_order_and_not_negative() -> None:
    backwards = turn()
    backwards.start_offset.FromMilliseconds(1_000)
    backwards.end_offset.FromMilliseconds(999)
    negative = turn()
    negative.start_offset.CopyFrom(Duration(nanos=-1))
    assert analysis_violations(backwards, negative) == {
        "conversation.turns[0].end_offset": "is before start_offset; swap the two or leave one out",
        "conversation.turns[1].start_offset": "is negative; count from the beginning of the "
        "conversation, or leave it out",
    }


def test_turns_out_of_time_order_are_accepted() -> None:
    later, earlier = turn(), turn()
    later.start_offset.FromSeconds(60)
    earlier.start_offset.FromSeconds(30)
    assert analysis_violations(later, earlier) == {}


def test_a_partial_turn_in_a_whole_conversation_is_refused() -> None:
    assert list(analysis_violations(turn(is_final=False), turn(is_final=True))) == [
        "conversation.turns[0].is_final"
    ]


@pytest.mark.parametrize("language", ["", "en", "tr-TR", "zh-Hant-TW", "xx"])
def test_any_bcp47_tag_is_accepted(language: str) -> None:
    request = AnalyzeConversationRequest(conversation=conversation(turn()))
    request.conversation.language = language
    assert violations(request) == {}


def test_a_malformed_language_is_refused() -> None:
    configuration = StreamConfiguration(conversation_id="c1", language="English (UK)")
    assert list(violations(StreamConversationRequest(configuration=configuration))) == [
        "configuration.language"
    ]


def test_everything_wrong_is_told_at_once() -> None:
    assert set(analysis_violations(turn(""), turn(role="boss"), turn(role="", text=" "))) == {
        "conversation.turns[0].text",
        "conversation.turns[1].role",
        "conversation.turns[2].role",
        "conversation.turns[2].text",
    }


def test_a_batch_is_checked_without_its_items() -> None:
    assert violations(BatchAnalyzeConversationsRequest(conversations=[Conversation()])) == {}
    assert list(violations(BatchAnalyzeConversationsRequest())) == ["conversations"]
    too_many = BatchAnalyzeConversationsRequest(conversations=[Conversation()] * 101)
    assert violations(too_many) == {
        "conversations": "has 101 conversations, at most 100 are allowed; send several batches"
    }


def test_a_batch_item_is_checked_under_its_path() -> None:
    item = conversation(turn(turn_id="a"), turn("", turn_id="a"))
    assert list(violations(item, path="conversations[2]")) == [
        "conversations[2].turns[1].text",
        "conversations[2].turns[1].turn_id",
    ]


def test_a_stream_message_needs_a_payload() -> None:
    assert list(violations(StreamConversationRequest())) == ["payload"]


def test_a_streamed_turn_needs_an_id_and_says_whether_it_is_final() -> None:
    assert set(violations(StreamConversationRequest(turn=turn("")))) == {
        "turn.turn_id",
        "turn.is_final",
        "turn.text",
    }
    good = turn(turn_id="t1", is_final=False)
    assert violations(StreamConversationRequest(turn=good)) == {}


def test_the_list_of_violations_is_bounded_and_fits_into_trailers() -> None:
    turns = [turn("", turn_id="t" * 129, role="boss")] * 2_000
    request = AnalyzeConversationRequest(conversation=conversation(*turns))
    found = VALIDATOR.collect_violations(request)
    assert len(found) == MAX_REPORTED_VIOLATIONS
    assert found[-1].description == (
        f"{3 * 2_000 + 1_999 - 31} more violations are not listed; correct these first"
    )
    assert sum(len(v.field) + len(v.description) for v in found) < 6_000


@given(secret=st.text(st.characters(codec="utf-8"), min_size=12))
def test_no_violation_holds_what_was_sent(secret: str) -> None:
    """Violations go into logs and errors, where customer text must never be."""
    words = f"«{secret}»"
    item = conversation(
        Turn(role=words, text=words * 2_000, turn_id=words * 10),
        Turn(role=words, text=words, turn_id=words * 10),
    )
    item.channel = words * 10
    item.language = words
    for violation in VALIDATOR.collect_violations(item):
        assert words not in violation.field + violation.description


def _rules(message: type[Message], field: str) -> validate_pb2.FieldRules:
    options = message.DESCRIPTOR.fields_by_name[field].GetOptions()
    rules: validate_pb2.FieldRules = options.Extensions[validate_pb2.field]
    return rules


@pytest.mark.parametrize(
    ("limit", "read_rule"),
    [
        ("max_turn_chars", lambda: _rules(Turn, "text").string.max_len),
        ("max_id_chars", lambda: _rules(Turn, "turn_id").string.max_len),
        ("max_id_chars", lambda: _rules(Turn, "participant_id").string.max_len),
        ("max_id_chars", lambda: _rules(Conversation, "conversation_id").string.max_len),
        ("max_id_chars", lambda: _rules(StreamConfiguration, "conversation_id").string.max_len),
        ("max_conversation_turns", lambda: _rules(Conversation, "turns").repeated.max_items),
        (
            "max_batch_conversations",
            lambda: _rules(BatchAnalyzeConversationsRequest, "conversations").repeated.max_items,
        ),
    ],
)
def test_the_rules_of_the_protos_state_the_limits(limit: str, read_rule: Callable[[], int]) -> None:
    assert read_rule() == getattr(Limits(), limit)


@pytest.mark.parametrize("turn_count", [1, TURNS_PER_STEP, TURNS_PER_STEP + 1, 300])
async def test_a_long_conversation_is_checked_in_steps_with_the_same_outcome(
    turn_count: int,
) -> None:
    turns = [turn(turn_id=f"t{i}") for i in range(turn_count)]
    turns[-1] = turn("", turn_id="t0", role="nobody", is_final=False)
    bad = Conversation(turns=turns, channel="x" * 65, language="?")
    stepwise = await VALIDATOR.check_conversation(bad, path="conversation")
    assert stepwise == VALIDATOR.collect_violations(bad, path="conversation")
    assert len(stepwise) >= 6
