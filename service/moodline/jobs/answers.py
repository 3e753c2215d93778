"""What becomes of a conversation, in a form that travels between processes and machines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToDict

from moodline.errors import FieldViolation
from moodline.v1.analysis_pb2 import ConversationAnalysis


@dataclass(frozen=True, slots=True)
class Scored:
    """A conversation was analysed.

    Attributes:
        analysis: One line of JSON, as of `analysis_line`.
    """

    analysis: bytes

    def record(self) -> dict[str, Any]:
        """Return the analysis as JSON values."""
        record: dict[str, Any] = json.loads(self.analysis)
        return record


@dataclass(frozen=True, slots=True)
class Refused:
    """A conversation was not analysed.

    Attributes:
        code: Stable UPPER_SNAKE name of the cause.
        violations: What is wrong with which field and the remedy; never customer text.
    """

    code: str
    violations: tuple[FieldViolation, ...]


Answer: TypeAlias = Scored | Refused


def analysis_line(analysis: ConversationAnalysis) -> bytes:
    """Return a result as one line of JSON: the proto JSON with proto field names, keys sorted."""
    record = MessageToDict(
        analysis,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    # Maps have no order of their own; sorted, equal results are equal lines.
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode()
