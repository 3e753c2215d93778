"""What JSON lines and requests say differently: names of fields, and times."""

from __future__ import annotations

from typing import Final

from google.protobuf.duration_pb2 import Duration

from moodline.errors import FieldViolation

_KEY_OF_FIELD: Final = {"start_offset": "start_ms", "end_offset": "end_ms"}


def as_in_the_line(violation: FieldViolation) -> FieldViolation:
    """Name fields as in the line, where that differs from the request."""
    field = violation.field.removeprefix("conversation.")
    description = violation.description
    for proto_name, key in _KEY_OF_FIELD.items():
        field = field.replace(proto_name, key)
        description = description.replace(proto_name, key)
    return FieldViolation(field, description)


def duration_of(offset_ms: int | None) -> Duration | None:
    """Return a time of a line as a request has it.

    Raises:
        ValueError: If it is out of the range of `google.protobuf.Duration`.
    """
    if offset_ms is None:
        return None
    duration = Duration()
    duration.FromMilliseconds(offset_ms)
    return duration
