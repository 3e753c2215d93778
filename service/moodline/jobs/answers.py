"""What becomes of a conversation, in a form that travels between processes and machines."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToDict

from moodline.client import MoodlineRpcError
from moodline.errors import FieldViolation, InvalidRequestError, MoodlineError
from moodline.jobs.analyzing import Analyze, ConversationError
from moodline.jobs.fields import as_in_the_line
from moodline.rpc.validation import RequestValidator
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation


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


async def answer(message: bytes, analyze: Analyze, validator: RequestValidator) -> Answer:
    """Analyse one conversation, by the rules of the server.

    Args:
        message: A serialized `moodline.v1.Conversation`, not validated yet.
        analyze: Where it is analysed.
        validator: The rules.

    Raises:
        MoodlineError: If the engine is gone.
        MoodlineRpcError: If the server is gone or refuses the caller.
    """
    conversation = Conversation.FromString(message)
    violations = await validator.check_conversation(conversation, path="")
    if violations:
        return Refused(InvalidRequestError.reason, tuple(map(as_in_the_line, violations)))
    try:
        analysis = await analyze(conversation)
        # In a thread: a long result takes many milliseconds, in which the next engine call is due.
        return Scored(await asyncio.to_thread(analysis_line, analysis))
    except ConversationError as error:
        return Refused(error.code, error.violations)
    except (MoodlineError, MoodlineRpcError):
        raise
    # Our bug, and its message may quote the conversation; the others are scored all the same.
    except Exception as error:  # noqa: BLE001
        problem = f"made moodline fail with {type(error).__name__}; report it"
        return Refused("INTERNAL", (FieldViolation("", problem),))
