"""What a server says to input that is wrong or odd: the list of docs/bad-input.md."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from moodline.v1.analysis_service_pb2 import (
    AnalyzeConversationRequest,
    BatchAnalyzeConversationsRequest,
    StreamConversationRequest,
    StreamConversationResponse,
)
from moodline.v1.conversation_pb2 import Conversation, Turn
from tests.integration.harness import (
    SERVICE,
    Refusal,
    Served,
    configuration,
    converse,
    read_status,
    refusal,
    request,
    streamed,
    turn,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def refused(served: Served, *turns: Turn, **fields: Any) -> Refusal:
    """Send a bad conversation; whatever is wrong, the form of the answer is the same."""
    answer = await refusal(served.stub.AnalyzeConversation(request(turns, **fields)))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.reason == "INVALID_REQUEST"
    assert answer.domain == "moodline"
    return answer


async def refused_stream(served: Served, *messages: StreamConversationRequest) -> Refusal:
    answer = await refusal(served.talk(*messages))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    return answer


async def test_a_request_without_a_conversation_is_refused(served: Served) -> None:
    answer = await refusal(served.stub.AnalyzeConversation(AnalyzeConversationRequest()))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(answer.violations) == {"conversation"}


async def test_an_empty_conversation_is_refused(served: Served) -> None:
    assert set((await refused(served)).violations) == {"conversation.turns"}


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\u200f", "\x00\x1b"])
async def test_text_with_nothing_to_read_is_refused(served: Served, text: str) -> None:
    answer = await refused(served, turn(), turn(text))
    assert "empty" in answer.violations["conversation.turns[1].text"]


async def test_an_unknown_role_is_refused_and_the_roles_are_named(served: Served) -> None:
    answer = await refused(served, turn(role="supervisor"))
    assert "customer, agent, bot" in answer.violations["conversation.turns[0].role"]
    assert "supervisor" not in answer.raw


async def test_a_turn_of_200000_characters_is_refused_not_cut(served: Served) -> None:
    answer = await refused(served, turn("x" * 200_000))
    violation = answer.violations["conversation.turns[0].text"]
    assert "200000" in violation
    assert "20000 are allowed" in violation


async def test_the_longest_turn_that_is_allowed_is_read_to_its_end(served: Served) -> None:
    text = ("All is well here. " * 1200)[:19_980] + " I am furious now!!!"[:20]
    assert len(text) == 20_000
    result = (await served.analyze(turn(text))).analysis.turns[0]
    assert result.sentiment.label


async def test_a_conversation_of_10000_turns_is_sent_to_the_stream(served: Served) -> None:
    answer = await refused(served, *[turn("ok")] * 10_000)
    violation = answer.violations["conversation.turns"]
    assert "10000" in violation
    assert "StreamConversation" in violation


async def test_text_that_is_not_utf8_is_refused(served: Served) -> None:
    valid = request([turn("SECRET")]).SerializeToString()
    invalid = valid.replace(b"SECRET", b"SEC\xff\xfeT")
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    call = served.channel.unary_unary(f"/{SERVICE}/AnalyzeConversation")
    answer = await refusal(call(invalid))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.reason == "MALFORMED_REQUEST"
    assert "UTF-8" in answer.message
    assert "SEC" not in answer.raw


async def test_a_stream_message_that_is_not_utf8_ends_the_stream(served: Served) -> None:
    invalid = streamed("t1", "SECRET").SerializeToString().replace(b"SECRET", b"SEC\xff\xfeT")
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
    method = served.channel.stream_stream(f"/{SERVICE}/StreamConversation")
    answer = await refusal(converse(method(), [configuration().SerializeToString(), invalid]))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.reason == "MALFORMED_REQUEST"


async def test_control_and_bidi_characters_are_kept_as_they_are(served: Served) -> None:
    text = "I am \u202every\u202c angry\x07!\u200f \x1b[31mTerrible service\x1b[0m, refund me!"
    result = (await served.analyze(turn(text))).analysis.turns[0]
    assert result.sentiment.label
    for span in result.evidence:
        assert text[span.start : span.end] == span.text


async def test_only_emoji_is_read(served: Served) -> None:
    analysis = (await served.analyze(turn("😡😡😡"), turn("👍"))).analysis
    assert [bool(t.sentiment.label) for t in analysis.turns] == [True, True]
    assert analysis.language == "und"


async def test_an_unknown_language_is_marked_not_guessed(served: Served) -> None:
    analysis = (await served.analyze(turn("Где моя посылка? Я жду уже две недели."))).analysis
    assert analysis.turns[0].absence == "UNSUPPORTED_LANGUAGE"
    assert not analysis.turns[0].HasField("sentiment")
    assert analysis.absence == "UNSUPPORTED_LANGUAGE"
    assert "UNSUPPORTED_LANGUAGE" in [w.code for w in analysis.warnings]


async def test_a_malformed_language_tag_is_refused(served: Served) -> None:
    answer = await refused(served, turn(), language="English, please")
    assert set(answer.violations) == {"conversation.language"}


async def test_duplicate_turn_ids_are_refused_naming_both(served: Served) -> None:
    answer = await refused(
        served, turn(turn_id="a"), turn(turn_id="b"), turn("SECRET", turn_id="a")
    )
    violation = answer.violations["conversation.turns[2].turn_id"]
    assert "turns[0]" in violation
    assert "SECRET" not in answer.raw


async def test_turns_out_of_time_order_are_read_as_given_with_a_warning(served: Served) -> None:
    analysis = (
        await served.analyze(
            turn("Hello", start_offset=Duration(seconds=60)),
            turn("My card was stolen!", start_offset=Duration(seconds=5)),
        )
    ).analysis
    assert [t.turn_index for t in analysis.turns] == [0, 1]
    (warning,) = [w for w in analysis.warnings if w.code == "TURNS_OUT_OF_TIME_ORDER"]
    assert warning.turn_index == 1


async def test_a_turn_that_ends_before_it_starts_is_refused(served: Served) -> None:
    answer = await refused(
        served, turn(start_offset=Duration(seconds=9), end_offset=Duration(seconds=8))
    )
    assert set(answer.violations) == {"conversation.turns[0].end_offset"}


async def test_no_customer_turn_is_an_absence_not_an_error(served: Served) -> None:
    analysis = (await served.analyze(turn("Hello, how can I help?", role="agent"))).analysis
    assert analysis.absence == "INSUFFICIENT_TURNS"
    assert analysis.turns[0].absence == "NOT_CUSTOMER"
    assert not analysis.HasField("sentiment")


async def test_a_message_over_the_limit_is_refused_by_grpc(served: Served) -> None:
    answer = await refusal(
        served.stub.AnalyzeConversation(request([turn("x" * (17 * 1024 * 1024))]))
    )
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    # Without RetryInfo, which tells clients that trying again cannot help.
    assert answer.retry_after_s is None


async def test_all_violations_come_together_and_fit_into_the_trailers(served: Served) -> None:
    bad = [turn("", role="nobody", turn_id="x" * 200, participant_id="y" * 200)] * 1999
    answer = await refused(served, *bad, conversation_id="")
    assert len(answer.violations) == 32
    assert "conversation.conversation_id" in answer.violations
    assert "more violations are not listed" in answer.violations["conversation"]
    assert "31 more in the details" in answer.message


async def test_the_message_names_the_first_violation(served: Served) -> None:
    answer = await refused(served, turn(role="nobody"))
    assert answer.message.startswith("conversation.turns[0].role: ")


async def test_a_batch_without_conversations_is_refused(served: Served) -> None:
    call = served.stub.BatchAnalyzeConversations(BatchAnalyzeConversationsRequest())
    assert set((await refusal(call)).violations) == {"conversations"}


async def test_a_batch_of_too_many_conversations_is_refused(served: Served) -> None:
    conversations = [Conversation(conversation_id="c", turns=[turn()])] * 101
    call = served.stub.BatchAnalyzeConversations(
        BatchAnalyzeConversationsRequest(conversations=conversations)
    )
    assert "101" in (await refusal(call)).violations["conversations"]


async def test_a_bad_item_of_a_batch_fails_alone(served: Served) -> None:
    response = await served.stub.BatchAnalyzeConversations(
        BatchAnalyzeConversationsRequest(
            conversations=[
                Conversation(conversation_id="good", turns=[turn()]),
                Conversation(conversation_id="bad", turns=[turn(), turn("", role="x")]),
                Conversation(turns=[turn()]),
            ]
        )
    )
    good, bad, nameless = response.results
    assert good.analysis.conversation_id == good.conversation_id == "good"
    assert bad.conversation_id == "bad"
    answer = read_status(bad.status)
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.reason == "INVALID_REQUEST"
    assert set(answer.violations) == {
        "conversations[1].turns[1].role",
        "conversations[1].turns[1].text",
    }
    assert set(read_status(nameless.status).violations) == {"conversations[2].conversation_id"}


async def test_a_turn_before_the_configuration_ends_the_stream(served: Served) -> None:
    answer = await refused_stream(served, streamed("t1"))
    assert "before the configuration" in answer.violations["turn"]


async def test_a_second_configuration_ends_the_stream(served: Served) -> None:
    answer = await refused_stream(served, configuration(), streamed("t1"), configuration())
    assert set(answer.violations) == {"configuration"}


async def test_a_stream_without_a_configuration_is_refused(served: Served) -> None:
    assert set((await refused_stream(served)).violations) == {"configuration"}


async def test_an_empty_stream_message_is_refused(served: Served) -> None:
    answer = await refused_stream(served, configuration(), StreamConversationRequest())
    assert answer.reason == "INVALID_REQUEST"


async def test_a_streamed_turn_needs_an_id_and_says_whether_it_is_final(served: Served) -> None:
    answer = await refused_stream(
        served, configuration(), StreamConversationRequest(turn=turn("hello"))
    )
    assert set(answer.violations) == {"turn.turn_id", "turn.is_final"}


async def test_results_before_a_bad_message_stand(served: Served) -> None:
    call = served.stub.StreamConversation(
        iter([configuration(), streamed("t1"), streamed("t2", role="nobody")])
    )
    answer = await call.read()
    assert isinstance(answer, StreamConversationResponse)
    assert answer.turn_result.turn.turn_id == "t1"
    assert (await refusal(call.read())).violations.keys() == {"turn.role"}


async def test_a_replaced_final_turn_ends_the_stream(served: Served) -> None:
    answer = await refused_stream(
        served, configuration(), streamed("t1", "SECRET one"), streamed("t1", "SECRET two")
    )
    assert "final" in answer.violations["turn.turn_id"]
    assert "SECRET" not in answer.raw


async def test_too_many_open_partial_turns_end_the_stream(served: Served) -> None:
    partials = [streamed(f"t{i}", "ok", is_final=False) for i in range(65)]
    answer = await refused_stream(served, configuration(), *partials)
    assert answer.reason == "INPUT_TOO_LONG"
    assert set(answer.violations) == {"turn.is_final"}
