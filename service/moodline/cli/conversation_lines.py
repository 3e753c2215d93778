"""Reads conversations from JSON lines, one line at a time and within bounded memory.

What is wrong with a line is told by field, never by quoting it: it may be what a customer said.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Final

from google.protobuf.duration_pb2 import Duration
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from moodline.errors import FieldViolation, InputTooLongError, InvalidRequestError
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator
from moodline.v1.conversation_pb2 import Conversation, Turn

MAX_LINE_BYTES: Final = Limits().max_message_bytes
"""Longest line that is held: as JSON, too, a conversation of the largest size fits."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SKIP_BYTES: Final = 65_536
_MISSPELT_RATIO: Final = 0.8
"""Similarity from which an unknown key counts as a misspelt one: `languages`, `start_msec`."""
_MAX_OFFSET_MS: Final = 315_576_000_000_000
"""Largest `google.protobuf.Duration`, in milliseconds."""
_KEY_OF_FIELD: Final = {"start_offset": "start_ms", "end_offset": "end_ms"}


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


def read_lines(
    source: BinaryIO, *, max_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that are not blank with their numbers, from 1.

    Args:
        source: Read line by line, as it comes.
        max_bytes: Longest line that is held; a longer one is passed over and yielded as None.
    """
    number = 0
    while line := source.readline(max_bytes + 1):
        number += 1
        if len(line) > max_bytes and not line.endswith(b"\n"):
            while (rest := source.readline(_SKIP_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, None
            continue
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            yield number, line


def line_too_long(*, max_bytes: int = MAX_LINE_BYTES) -> InputTooLongError:
    """Return what is wrong with a line that `read_lines` passed over."""
    return InputTooLongError(
        [FieldViolation("", f"has more than {max_bytes} bytes; write shorter conversations")]
    )


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
            record = _ConversationRecord.model_validate(_load(line))
        except ValidationError as error:
            raise InvalidRequestError(
                [
                    FieldViolation(_path(detail["loc"]), _description(detail))
                    for detail in error.errors(include_url=False, include_input=False)
                ]
            ) from None  # Pydantic's message quotes the line.
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


def _whole_characters(text: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("holds half of a surrogate pair; write both halves or the character")
    return text


Text = Annotated[str, BeforeValidator(_nothing_for_null), AfterValidator(_whole_characters)]
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
            start_offset=_duration(self.start_ms),
            end_offset=_duration(self.end_ms),
        )


class _ConversationRecord(_Record):
    conversation_id: Text = ""
    channel: Text = ""
    language: Text = ""
    turns: list[_TurnRecord] | None = None

    def message(self) -> Conversation:
        return Conversation(
            conversation_id=self.conversation_id,
            channel=self.channel,
            language=self.language,
            turns=[turn.message() for turn in self.turns or ()],
        )

    def unknown_keys(self) -> frozenset[str]:
        keys = set(self.model_extra or ())
        for turn in self.turns or ():
            keys.update(f"turns[].{key}" for key in turn.model_extra or ())
        return frozenset(keys)


def _duration(offset_ms: int | None) -> Duration | None:
    if offset_ms is None:
        return None
    duration = Duration()
    duration.FromMilliseconds(offset_ms)
    return duration


def _load(line: bytes) -> object:
    """Decode a line.

    Raises:
        InvalidRequestError: If it is not UTF-8 or not JSON, or names a key of an object twice.
    """
    try:
        return json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
    except InvalidRequestError:
        raise
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start}; save the file as UTF-8"
    except json.JSONDecodeError as error:
        problem = f"is not JSON from column {error.colno} on; write one object a line"
    except RecursionError:
        problem = "is nested too deeply; write one conversation a line"
    except ValueError:
        problem = "holds a number of too many digits; correct it"
    raise InvalidRequestError([FieldViolation("", problem)]) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise InvalidRequestError(
            [FieldViolation("", "names a key twice in one object; leave one of them out")]
        )
    return record


def _path(location: Collection[int | str]) -> str:
    """Write a place in a record, e.g. `turns[3].text`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _description(detail: ErrorDetails) -> str:
    """Say what Pydantic says in the grammar of our violations."""
    if detail["type"] == "model_type":
        return "should be an object"
    return detail["msg"].removeprefix("Input ").removeprefix("Value error, ")


def _misspelling(key: str) -> FieldViolation | None:
    """Refuse a key that was probably meant to be one that counts; others are only told."""
    group, _, name = key.rpartition(".")
    known = (_TurnRecord if group else _ConversationRecord).model_fields
    meant = difflib.get_close_matches(name, known, n=1, cutoff=_MISSPELT_RATIO)
    if not meant:
        return None
    return FieldViolation(key, f"is no key of a conversation; {meant[0]} may be meant")


def as_in_the_line(violation: FieldViolation) -> FieldViolation:
    """Name fields as in the line, where that differs from the request."""
    field = violation.field.removeprefix("conversation.")
    description = violation.description
    for proto_name, key in _KEY_OF_FIELD.items():
        field = field.replace(proto_name, key)
        description = description.replace(proto_name, key)
    return FieldViolation(field, description)
