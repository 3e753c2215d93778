"""Names of fields as people meet them in JSON lines, where requests name them otherwise."""

from __future__ import annotations

from typing import Final

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
