"""Finds everything that is wrong with a request, at once.

The rules of single fields stand in the protos and are run by protovalidate, at 2 to 9 µs a turn
(the rules are compiled once a `RequestValidator`). Here stand only those rules that relate several
turns to each other, and the words that tell the caller what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import protovalidate
from google.protobuf.message import Message

from moodline.errors import FieldViolation
from moodline.limits import Limits
from moodline.v1.analysis_service_pb2 import AnalyzeConversationRequest
from moodline.v1.conversation_pb2 import Conversation

MAX_REPORTED_VIOLATIONS = 32
"""Violations that one answer holds. They travel in gRPC trailers, which clients cap at 8 KiB by
default: more would reach nobody."""

TURNS_PER_STEP = 128
"""Turns of a whole conversation that are checked before the event loop gets a chance: 2 ms."""

_STANDARD_RULES = {
    "duration.gte",
    "int32.gte",
    "map.max_pairs",
    "repeated.max_items",
    "repeated.min_items",
    "required",
    "string.in",
    "string.max_len",
    "string.min_len",
}

_REMEDIES = {
    "text": "split it into several turns",
    "turns": "send the conversation through StreamConversation",
    "conversations": "send several batches",
    "attributes": "send those alone that rules look at",
}


class RequestValidator:
    """Checks requests against the rules of the protos and across turns.

    Not bound to an event loop, and safe to share: it keeps compiled rules and nothing of a request.

    Args:
        limits: The limits across turns. Those of single fields stand in the protos.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._validator = protovalidate.Validator()

    def collect_violations(self, message: Message, *, path: str = "") -> tuple[FieldViolation, ...]:
        """Find everything that is wrong with a request message.

        A batch request is checked without its items: check each by itself, with its path, since a
        bad item must not fail the others. What depends on earlier messages of a stream is the
        session's matter.

        Args:
            message: A request of `moodline.v1`, or a `Conversation` inside one.
            path: Where `message` stands in the request, e.g. `conversations[2]`; empty for the
                request itself.

        Returns:
            The violations in the order of the fields, without any customer text; at most
            `MAX_REPORTED_VIOLATIONS`, of which the last one counts those left out. With too many
            turns, that alone.
        """
        if isinstance(message, AnalyzeConversationRequest) and message.HasField("conversation"):
            conversation, conversation_path = message.conversation, _join(path, "conversation")
        elif isinstance(message, Conversation):
            conversation, conversation_path = message, path
        else:
            return _bounded(list(self._rule_violations(message, path)), path)
        if violation := self._count_violation(conversation, conversation_path):
            return (violation,)
        violations = list(self._rule_violations(message, path))
        violations += self._turn_violations(conversation, conversation_path)
        return _bounded(violations, path)

    async def check_conversation(
        self, conversation: Conversation, *, path: str
    ) -> tuple[FieldViolation, ...]:
        """Find the same as `collect_violations`, without holding the event loop up for long.

        Args:
            conversation: A whole conversation inside a request.
            path: Where it stands in the request.
        """
        if len(conversation.turns) <= TURNS_PER_STEP:
            return self.collect_violations(conversation, path=path)
        if violation := self._count_violation(conversation, path):
            return (violation,)
        violations: list[FieldViolation] = []
        for first_index in range(0, len(conversation.turns), TURNS_PER_STEP):
            part = Conversation(conversation_id="-")
            if first_index == 0:
                part.conversation_id = conversation.conversation_id
            if first_index + TURNS_PER_STEP >= len(conversation.turns):
                part.channel, part.language = conversation.channel, conversation.language
                part.customer_id = conversation.customer_id
                part.attributes.update(conversation.attributes)
            part.turns.extend(conversation.turns[first_index : first_index + TURNS_PER_STEP])
            violations += self._rule_violations(part, path, first_turn_index=first_index)
            await asyncio.sleep(0)
        violations += self._turn_violations(conversation, path)
        return _bounded(violations, path)

    def _count_violation(self, conversation: Conversation, path: str) -> FieldViolation | None:
        """Check the number of turns before anything else.

        Looking at millions of turns would cost whom we serve more than who sent them.
        """
        turn_count, max_turn_count = len(conversation.turns), self._limits.max_conversation_turns
        if turn_count <= max_turn_count:
            return None
        description = _too_many("turns", turn_count, max_turn_count, _REMEDIES["turns"])
        return FieldViolation(_join(path, "turns"), description)

    def _rule_violations(
        self, message: Message, path: str, *, first_turn_index: int = 0
    ) -> Iterator[FieldViolation]:
        """Run the rules that stand in the protos.

        Args:
            message: What to check.
            path: Where it stands in the request.
            first_turn_index: Index of the first turn, where `message` is a part of a conversation.
        """
        for violation in self._validator.collect_violations(message):
            field = path
            elements = violation.proto.field.elements if violation.proto.field else ()
            for element in elements:
                field = _join(field, element.field_name)
                # A name in a map is the caller's own word; it is not repeated.
                if element.subscript is not None and element.subscript.field == "index":
                    index = int(element.subscript.value)
                    index += first_turn_index if element.field_name == "turns" else 0
                    field += f"[{index}]"
            name = elements[-1].field_name if elements else ""
            if violation.proto.rule_id in _STANDARD_RULES:
                yield FieldViolation(field, _describe(violation, name))
                continue
            # Our own rules are named FIELD.RULE; FIELD is the one to correct, where the rule spans
            # the whole message.
            rule_field = violation.proto.rule_id.partition(".")[0]
            if rule_field != name:
                field = _join(field, rule_field)
            yield FieldViolation(field, violation.proto.message)

    def _turn_violations(self, conversation: Conversation, path: str) -> Iterator[FieldViolation]:
        """Check the turns of one conversation against each other."""
        first_index_by_id: dict[str, int] = {}
        char_count = 0
        for index, turn in enumerate(conversation.turns):
            char_count += len(turn.text)
            if turn.HasField("is_final") and not turn.is_final:
                yield FieldViolation(
                    _join(path, f"turns[{index}].is_final"),
                    "must not be false in a whole conversation; leave it out, or send partial "
                    "turns through StreamConversation",
                )
            if not turn.turn_id:
                continue
            first_index = first_index_by_id.setdefault(turn.turn_id, index)
            if first_index != index:
                yield FieldViolation(
                    _join(path, f"turns[{index}].turn_id"),
                    f"turns[{index}] repeats the id of turns[{first_index}]; give every turn an id "
                    "of its own or none",
                )
        max_char_count = self._limits.max_conversation_chars
        if char_count > max_char_count:
            yield FieldViolation(
                _join(path, "turns"),
                _too_many("characters", char_count, max_char_count, _REMEDIES["turns"]),
            )


def _describe(violation: protovalidate.Violation, name: str) -> str:
    """Say what a violated standard rule expects, what it got, in numbers alone, and what to do."""
    value, limit = violation.field_value, violation.rule_value
    match violation.proto.rule_id:
        case "string.max_len":
            return _too_many("characters", len(value), limit, _REMEDIES.get(name, "shorten it"))
        case "repeated.max_items" | "map.max_pairs":
            return _too_many(name, len(value), limit, _REMEDIES.get(name, "send fewer"))
        case "string.in":
            return f"is none of {', '.join(filter(None, limit))}; use one of these"
        case "int32.gte":
            return f"is {value}, at least {limit} is allowed; raise it or leave it out"
        case "duration.gte":
            return "is negative; count from the beginning of the conversation, or leave it out"
        case _:
            return "is empty, but required; fill it in"


def _too_many(noun: str, count: int, max_count: int, remedy: str) -> str:
    return f"has {count} {noun}, at most {max_count} are allowed; {remedy}"


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _bounded(violations: list[FieldViolation], path: str) -> tuple[FieldViolation, ...]:
    """Keep as many violations as an answer can carry, and count the others."""
    if len(violations) <= MAX_REPORTED_VIOLATIONS:
        return tuple(violations)
    kept = violations[: MAX_REPORTED_VIOLATIONS - 1]
    rest = f"{len(violations) - len(kept)} more violations are not listed; correct these first"
    return (*kept, FieldViolation(path, rest))
