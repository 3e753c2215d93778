"""The shapes of other systems' records: how they are declared, checked and told when wrong.

A record declares what is read of it; what else stands there is not looked at. `null` is the same
as nothing, numbers may be written as text. What is wrong is told by path, never by quoting.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Annotated, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from moodline.errors import FieldViolation, InvalidRequestError

MAX_TOLD_VIOLATIONS: Final = 20
_MISSPELT_RATIO: Final = 0.8
"""Similarity from which an unknown key counts as a misspelt one: `languages`, `start_msec`."""
_MAX_MS: Final = 10**15
# Epoch times without a unit, told apart by size: from the year 2001 to 5138 in each unit.
_MIN_EPOCH_MS: Final = 10**11
_MIN_EPOCH_US: Final = 10**14

AnyRecord = TypeVar("AnyRecord", bound="Record")


def whole_characters(text: str) -> str:
    """Refuse text that no encoding can write.

    Raises:
        ValueError: If it holds half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        problem = "holds half of a surrogate pair; write both halves or the character"
        raise ValueError(problem) from None
    return text


def finite_number(value: object) -> Decimal:
    """Return a number, also one written as text.

    Raises:
        ValueError: If it is none, or not finite, or beyond any time.
    """
    try:
        number = Decimal(str(value)) if isinstance(value, int | float | str) else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    if isinstance(value, bool) or not number.is_finite() or abs(number) > _MAX_MS * 1000:
        raise ValueError("should be a number")
    return number


def _milliseconds(value: object) -> int:
    return round(finite_number(value))


def _milliseconds_of_seconds(value: object) -> int:
    return round(finite_number(value) * 1000)


def epoch_ms(value: object) -> int:
    """Return milliseconds since the Unix epoch.

    Args:
        value: A number of seconds, milliseconds or microseconds since the epoch, told apart by
            size; or a date and time by ISO 8601 or RFC 5322, in UTC where it names no zone.

    Raises:
        ValueError: If it is neither.
    """
    try:
        number = finite_number(value)
    except ValueError:
        return _milliseconds_of_date(value)
    if abs(number) >= _MIN_EPOCH_US:
        return round(number / 1000)
    return round(number if abs(number) >= _MIN_EPOCH_MS else number * 1000)


def _milliseconds_of_date(value: object) -> int:
    text = value.strip() if isinstance(value, str) else ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            problem = "should be a date and time such as 2026-03-17T14:02:00Z"
            raise ValueError(problem) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def moment_of(milliseconds: int) -> datetime | None:
    """Return the moment of milliseconds since the epoch, or None before the year 2000.

    Exports that count from the beginning of the conversation look like the first days of 1970.
    """
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds > 0 else None
    return moment if moment is not None and moment.year >= 2000 else None


Text = Annotated[str, AfterValidator(whole_characters)]
Milliseconds = Annotated[int, BeforeValidator(_milliseconds)]
SecondsAsMs = Annotated[int, BeforeValidator(_milliseconds_of_seconds)]
EpochMs = Annotated[int, BeforeValidator(epoch_ms)]


def _dropped_unless_finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Score = Annotated[float | None, BeforeValidator(_dropped_unless_finite)]


class Record(BaseModel):
    """An object of a document, as far as it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_nothing(cls, value: object) -> object:
        if isinstance(value, dict):
            return {key: content for key, content in value.items() if content is not None}
        return value


def read_record(shape: type[AnyRecord], value: object, *, at: str = "") -> AnyRecord:
    """Check a value against a shape.

    Args:
        shape: What is read of it.
        value: Decoded JSON.
        at: Path of the value in its document, put before the path of what is wrong.

    Raises:
        InvalidRequestError: With all that is wrong, by path in the vendor's own names.
    """
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise InvalidRequestError(bounded(violations_of(error, at=at))) from None


def violations_of(error: ValidationError, *, at: str = "") -> list[FieldViolation]:
    """Tell what Pydantic found, without the input, which its own message quotes."""
    return [
        FieldViolation(field_path((*([at] if at else []), *detail["loc"])), description_of(detail))
        for detail in error.errors(include_url=False, include_input=False)
    ]


def field_path(location: Collection[int | str]) -> str:
    """Write a place in a document, e.g. `turns[3].text`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def description_of(detail: ErrorDetails) -> str:
    """Say what Pydantic says in the grammar of our violations."""
    if detail["type"] in {"model_type", "dict_type"}:
        return "should be an object"
    return detail["msg"].removeprefix("Input ").removeprefix("Value error, ")


def misspelling(key: str, known: Iterable[str]) -> FieldViolation | None:
    """Refuse an unknown key that was probably meant to be a known one.

    Args:
        key: May begin with the path of its object, as in `turns[].start_msec`.
        known: Names without path.
    """
    meant = difflib.get_close_matches(key.rpartition(".")[2], known, n=1, cutoff=_MISSPELT_RATIO)
    if not meant:
        return None
    return FieldViolation(key, f"is no key of a conversation; {meant[0]} may be meant")


def bounded(violations: Iterable[FieldViolation]) -> list[FieldViolation]:
    """Keep as many violations as people read, and count the others."""
    told = list(violations)
    if len(told) <= MAX_TOLD_VIOLATIONS:
        return told
    rest = len(told) - MAX_TOLD_VIOLATIONS
    return [
        *told[:MAX_TOLD_VIOLATIONS],
        FieldViolation("", f"and {rest} more; correct these first"),
    ]
