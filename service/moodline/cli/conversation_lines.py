"""Turns JSON lines into conversations as the server takes them.

What is wrong with a line is told by field, never by quoting it: it may be what a customer said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.jobs.fields import as_in_the_line, duration_of
from moodline.json_lines import load_json
from moodline.rpc.validation import RequestValidator
from moodline.transcripts.records import misspelling, violations_of, whole_characters
from moodline.v1.conversation_pb2 import Conversation, Turn

_MAX_OFFSET_MS: Final = 315_576_000_000_000
"""Largest `google.protobuf.Duration`, in milliseconds."""


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """What a line holds.

    Attributes:
        conversation: Validated.
        ignored_keys: Keys that were not read since moodline knows nothing like them; those of turns
            begin with `turns[].`.
    """

    conversation: Conversation
    ignored_keys: frozenset[str]


class LineParser:
    """Turns lines into validated conversations, by the rules of the server."""

    def __init__(self, validator: RequestValidator) -> None:
        self._validator = validator

    def parse(self, line: bytes) -> ParsedLine:
        """Read one line.

        Raises:
            InvalidRequestError: If it holds no valid conversation; with all violations of the shape
                or, the shape being right, of the content. Fields are named as in the line.
        """
        try:
            record = _ConversationRecord.model_validate(load_json(line))
        except ValidationError as error:
            # Pydantic's message quotes the line.
            raise InvalidRequestError(violations_of(error)) from None
        unknown = record.unknown_keys()
        misspelt = [violation for key in sorted(unknown) if (violation := _misspelling(key))]
        if misspelt:
            raise InvalidRequestError(misspelt)
        conversation = record.message()
        violations = self._validator.collect_violations(conversation)
        if violations:
            raise InvalidRequestError([as_in_the_line(violation) for violation in violations])
        return ParsedLine(conversation, unknown)


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _nothing_for_null(value: object) -> object:
    return "" if value is None else value


Text = Annotated[str, BeforeValidator(_nothing_for_null), AfterValidator(whole_characters)]


def _texts(value: object) -> object:
    """Check attributes as a whole: their names are the caller's own words, which no error tells."""
    if not isinstance(value, dict):
        return value
    given = {name: text for name, text in value.items() if text is not None}
    if not all(isinstance(text, str) for text in given.values()):
        raise ValueError("holds a value that is no text; put it in quotes or leave it out")
    for part in (*given, *given.values()):
        whole_characters(part)
    return given


Attributes = Annotated[dict[str, str], BeforeValidator(_texts)]
Offset = Annotated[int, BeforeValidator(_integral), Field(ge=-_MAX_OFFSET_MS, le=_MAX_OFFSET_MS)]


class _Record(BaseModel):
    """An object of a line; null is the same as nothing, and unknown keys are kept to be told."""

    model_config = ConfigDict(strict=True, extra="allow")


class _TurnRecord(_Record):
    role: Text = ""
    text: Text = ""
    turn_id: Text = ""
    participant_id: Text = ""
    start_ms: Offset | None = None
    end_ms: Offset | None = None

    def message(self) -> Turn:
        return Turn(
            role=self.role,
            text=self.text,
            turn_id=self.turn_id,
            participant_id=self.participant_id,
            start_offset=duration_of(self.start_ms),
            end_offset=duration_of(self.end_ms),
        )


class _ConversationRecord(_Record):
    conversation_id: Text = ""
    channel: Text = ""
    language: Text = ""
    customer_id: Text = ""
    attributes: Attributes | None = None
    turns: list[_TurnRecord] | None = None

    def message(self) -> Conversation:
        return Conversation(
            conversation_id=self.conversation_id,
            channel=self.channel,
            language=self.language,
            customer_id=self.customer_id,
            attributes=self.attributes,
            turns=[turn.message() for turn in self.turns or ()],
        )

    def unknown_keys(self) -> frozenset[str]:
        keys = set(self.model_extra or ())
        for turn in self.turns or ():
            keys.update(f"turns[].{key}" for key in turn.model_extra or ())
        return frozenset(keys)


def _misspelling(key: str) -> FieldViolation | None:
    """Refuse a key that was probably meant to be one that counts; others are only told."""
    known = set((_TurnRecord if "." in key else _ConversationRecord).model_fields)
    # Exports have many keys that begin with `customer_`; they are no misspelt id.
    return misspelling(key, known - {"customer_id"})
