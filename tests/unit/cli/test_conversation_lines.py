"""Reading JSON lines: what is accepted, what is refused, and that text is never quoted."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.cli.conversation_lines import LineParser
from moodline.errors import InvalidRequestError
from moodline.json_lines import read_lines
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator
from moodline.samples import load_samples, read_samples

PARSER = LineParser(RequestValidator(Limits()))
SECRET = "my card number is 4111"


def line_with(**fields: Any) -> bytes:
    turn = {"role": "customer", "text": SECRET}
    return json.dumps({"conversation_id": "c-1", "turns": [turn], **fields}).encode()


def line_with_turn(**fields: Any) -> bytes:
    return line_with(turns=[{"role": "customer", "text": SECRET, **fields}])


def problems(line: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequestError) as caught:
        PARSER.parse(line)
    assert SECRET not in str(caught.value)
    return [(v.field, v.description) for v in caught.value.violations]


def test_the_samples_are_read_whole() -> None:
    for line, sample in zip(read_samples().splitlines(), load_samples(), strict=True):
        conversation = PARSER.parse(line.encode()).conversation
        assert conversation.conversation_id == sample.conversation_id
        assert [turn.text for turn in conversation.turns] == [turn.text for turn in sample.turns]
        assert [turn.start_offset.ToMilliseconds() for turn in conversation.turns] == [
            turn.start_ms for turn in sample.turns
        ]


def test_every_known_key_is_read() -> None:
    line = line_with(
        channel="chat",
        language="tr",
        customer_id="k-7",
        attributes={"plan": "gold"},
        turns=[
            {
                "turn_id": "t-1",
                "role": "bot",
                "text": "Merhaba",
                "participant_id": "bot-7",
                "start_ms": 1500,
                "end_ms": 2500.0,
            }
        ],
    )
    parsed = PARSER.parse(line)
    (turn,) = parsed.conversation.turns
    assert parsed.conversation.channel == "chat"
    assert parsed.conversation.language == "tr"
    assert parsed.conversation.customer_id == "k-7"
    assert dict(parsed.conversation.attributes) == {"plan": "gold"}
    assert (turn.turn_id, turn.role, turn.participant_id) == ("t-1", "bot", "bot-7")
    assert (turn.start_offset.ToMilliseconds(), turn.end_offset.ToMilliseconds()) == (1500, 2500)
    assert parsed.ignored_keys == frozenset()


def test_null_is_the_same_as_nothing() -> None:
    turn = PARSER.parse(line_with_turn(start_ms=None, turn_id=None)).conversation.turns[0]
    assert not turn.HasField("start_offset")
    assert turn.turn_id == ""
    line = line_with(customer_id=None, attributes={"plan": None, "region": ""})
    conversation = PARSER.parse(line).conversation
    assert conversation.customer_id == ""
    assert dict(conversation.attributes) == {"region": ""}
    assert not PARSER.parse(line_with(attributes=None)).conversation.attributes


def test_unknown_keys_are_told_and_not_read() -> None:
    line = line_with(customer_tier="gold", turns=[{"role": "agent", "text": "Hi", "asr": 0.9}])
    assert PARSER.parse(line).ignored_keys == {"customer_tier", "turns[].asr"}


@pytest.mark.parametrize(
    ("line", "field", "meant"),
    [
        (line_with(languages="tr"), "languages", "language"),
        (line_with_turn(start_msec=5), "turns[].start_msec", "start_ms"),
        (line_with_turn(participantid="p"), "turns[].participantid", "participant_id"),
        (line_with(attribute={}), "attribute", "attributes"),
    ],
)
def test_a_misspelt_key_is_refused_naming_the_right_one(
    line: bytes, field: str, meant: str
) -> None:
    assert problems(line) == [(field, f"is no key of a conversation; {meant} may be meant")]


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        (b'{"conversation_id": "my card', "", "is not JSON from column"),
        (b"\xff\xfe", "", "is not UTF-8 at byte 0"),
        (b"[1]", "", "should be an object"),
        (b"[" * 100_000, "", "is nested too deeply"),
        (b"1" * 5_000, "", "too many digits"),
        (b'{"turns": [], "turns": []}', "", "names a key twice"),
        (line_with(conversation_id=""), "conversation_id", "is empty, but required"),
        (line_with(conversation_id=7), "conversation_id", "should be a valid string"),
        (line_with(turns=[]), "turns", "is empty, but required"),
        (line_with(turns=SECRET), "turns", "should be a valid list"),
        (line_with(turns=[SECRET]), "turns[0]", "should be an object"),
        (line_with_turn(role="caller"), "turns[0].role", "customer, agent, bot"),
        (line_with_turn(text=" \u200b\n"), "turns[0].text", "is empty"),
        (line_with_turn(text="x" * 20_001), "turns[0].text", "20001 characters, at most 20000"),
        (line_with_turn(text="\ud83d"), "turns[0].text", "half of a surrogate pair"),
        (line_with_turn(start_ms=-1), "turns[0].start_ms", "is negative"),
        (line_with_turn(start_ms=0.5), "turns[0].start_ms", "should be a valid integer"),
        (line_with_turn(start_ms=True), "turns[0].start_ms", "should be a valid integer"),
        (line_with_turn(start_ms=10**18), "turns[0].start_ms", "should be less than"),
        (line_with_turn(start_ms=9, end_ms=5), "turns[0].end_ms", "is before start_ms"),
        (line_with(language="turkish!"), "language", "BCP-47"),
        (line_with(customer_id=7), "customer_id", "should be a valid string"),
        (line_with(customer_id="k" * 129), "customer_id", "129 characters, at most 128"),
        (line_with(attributes=[SECRET]), "attributes", "should be an object"),
        (line_with(attributes={SECRET: 7}), "attributes", "no text; put it in quotes"),
        (line_with(attributes={SECRET: ["a"]}), "attributes", "no text; put it in quotes"),
        (line_with(attributes={SECRET: "\ud83d"}), "attributes", "half of a surrogate pair"),
        (line_with(attributes={SECRET * 4: "x"}), "attributes", "characters, at most 64"),
        (line_with(attributes={SECRET: "x" * 257}), "attributes", "257 characters, at most 256"),
        (
            line_with(attributes={f"{SECRET} {number}": "x" for number in range(33)}),
            "attributes",
            "33 attributes, at most 32",
        ),
        (
            line_with(turns=[{"role": "agent", "text": "Hi", "turn_id": "t"}] * 2),
            "turns[1].turn_id",
            "repeats the id of turns[0]",
        ),
        (
            line_with(turns=[{"role": "agent", "text": "Hi"}] * 2001),
            "turns",
            "2001 turns, at most 2000",
        ),
    ],
)
def test_what_is_wrong_is_told_by_field(line: bytes, field: str, words: str) -> None:
    (problem,) = problems(line)
    assert problem[0] == field
    assert words in problem[1]


def test_everything_wrong_is_told_at_once() -> None:
    line = line_with(conversation_id="", turns=[{"role": "boss", "text": ""}])
    assert [field for field, _ in problems(line)] == [
        "conversation_id",
        "turns[0].role",
        "turns[0].text",
    ]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(line: bytes) -> None:
    try:
        PARSER.parse(line)
    except InvalidRequestError as error:
        assert error.violations  # noqa: PT017


@given(text=st.text(min_size=1, max_size=50).map(lambda text: f"a{text}"))
def test_text_arrives_unaltered(text: str) -> None:
    assert PARSER.parse(line_with_turn(text=text)).conversation.turns[0].text == text


def test_lines_are_numbered_as_in_the_file() -> None:
    source = io.BytesIO(b"\xef\xbb\xbf{}\r\n\n  \n[1]\n2")
    assert list(read_lines(source)) == [(1, b"{}\r\n"), (4, b"[1]\n"), (5, b"2")]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n{}\n"])
def test_a_line_over_the_limit_is_passed_over(end: bytes) -> None:
    source = io.BytesIO(b"1234567890\n" + b"x" * 100_000 + end)
    rest = [(3, b"{}\n")] if end.endswith(b"{}\n") else []
    assert list(read_lines(source, max_bytes=10)) == [(1, b"1234567890\n"), (2, None), *rest]
