"""What a reader gives: a conversation, and what `moodline.domain` does not keep of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from moodline.domain import Conversation, Role, Turn
from moodline.errors import FieldViolation


class SpeakerRole(StrEnum):
    """Who speaks, as finely as transcripts tell; `Transcript.conversation` knows three of them."""

    CUSTOMER = "customer"
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    BOT = "bot"
    SYSTEM = "system"
    UNKNOWN = "unknown"

    @property
    def domain_role(self) -> Role:
        """How the turns are analysed: who is not known to be a customer is never scored as one."""
        if self is SpeakerRole.CUSTOMER:
            return Role.CUSTOMER
        return Role.BOT if self is SpeakerRole.BOT else Role.AGENT


class SkipReason(StrEnum):
    """Why something in a transcript is no turn of the conversation."""

    PRIVATE_NOTE = "private_note"
    EVENT = "event"
    SYSTEM_MESSAGE = "system_message"
    PARTIAL = "partial"
    EMPTY_TEXT = "empty_text"
    DUPLICATE = "duplicate"
    NOT_TEXT = "not_text"
    NO_SPEAKER = "no_speaker"


class TranscriptWarningCode(StrEnum):
    """What the user of a transcript should know; the transcript itself stands."""

    ROLE_UNKNOWN = "ROLE_UNKNOWN"
    INCOMPLETE = "INCOMPLETE"
    SIGNATURE_NOT_VERIFIED = "SIGNATURE_NOT_VERIFIED"
    LANGUAGE_NOT_READ = "LANGUAGE_NOT_READ"
    TURN_ID_DROPPED = "TURN_ID_DROPPED"
    CUES_NOT_READ = "CUES_NOT_READ"
    ROLES_SWAPPED = "ROLES_SWAPPED"
    ROLES_MIXED = "ROLES_MIXED"
    ROLES_GUESSED = "ROLES_GUESSED"


@dataclass(frozen=True, slots=True)
class TranscriptWarning:
    """Something to know about a transcript; the message never holds customer text."""

    code: TranscriptWarningCode
    message: str


@dataclass(frozen=True, slots=True)
class VendorSentiment:
    """What the other system says of the feeling; for comparison only, never a result of ours.

    Attributes:
        label: In capitals, as the vendor names it, e.g. `NEGATIVE` or `MIXED`.
        score: On [-1, 1] by the published scale of the vendor (docs/formats.md); None if it
            gives a label that is on no scale.
    """

    label: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who speaks in a transcript.

    Attributes:
        participant_id: As on the turns; stable within the conversation.
        name: As shown to people; empty if the format gives none.
    """

    participant_id: str
    role: SpeakerRole
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptTurn:
    """One turn as the format gives it.

    Attributes:
        text: As shown to people: no HTML, entities decoded; else as it came.
        turn_id: Id of the format, unique in the conversation; empty if there is none.
        participant_id: Who exactly speaks; empty if the format does not tell.
        start_ms: Since the beginning of the conversation, in milliseconds, if known.
        end_ms: Since the beginning of the conversation, in milliseconds, if known.
        vendor_sentiment: What the other system says of the turn.
        language: BCP-47 tag, where a format tells it turn by turn.
        redactions: Half-open spans of `text`, in code points, that stand for removed words.
        attributes: What else the format tells of the turn, as JSON values.
        labels: Annotations of our own labelled format, as JSON values.
        place: Where the turn stands in its document, e.g. `dialog[3]` or `line 12`.
    """

    role: SpeakerRole
    text: str
    turn_id: str = ""
    participant_id: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    vendor_sentiment: VendorSentiment | None = None
    language: str = ""
    redactions: tuple[tuple[int, int], ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    labels: Mapping[str, object] = field(default_factory=dict)
    place: str = ""

    @property
    def is_bot(self) -> bool:
        """Whether no person speaks."""
        return self.role is SpeakerRole.BOT


@dataclass(frozen=True, slots=True)
class SkippedTurn:
    """Something that stands in a transcript and is no turn of its conversation."""

    reason: SkipReason
    turn: TranscriptTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One conversation, read from another system's format.

    Attributes:
        conversation_id: Of the other system; if it gives none, the name of the file, and from the
            second conversation of a file on its place there.
        format_name: The format that it was read from.
        turns: What was said, in order.
        skipped: What else stands there: private notes, events, empty and replaced turns.
        channel: `call`, `chat`, `email`, `social`, or as the format names it; empty if unknown.
        language: BCP-47 tag; empty if unknown.
        started_at: When offset 0 was, in UTC, if known.
        participants: Who speaks in `turns`, in the order of first words.
        vendor_sentiment: What the other system says of the whole conversation, by the role it
            speaks of, or `conversation`.
        attributes: What else the format tells of the conversation, as JSON values.
        labels: Annotations of our own labelled format, as JSON values.
        document: The vCon that it was read from, so that results can be added to it; else None.
    """

    conversation_id: str
    format_name: str
    turns: tuple[TranscriptTurn, ...]
    skipped: tuple[SkippedTurn, ...] = ()
    channel: str = ""
    language: str = ""
    started_at: datetime | None = None
    participants: tuple[Participant, ...] = ()
    warnings: tuple[TranscriptWarning, ...] = ()
    vendor_sentiment: Mapping[str, VendorSentiment] = field(default_factory=dict)
    attributes: Mapping[str, object] = field(default_factory=dict)
    labels: Mapping[str, object] = field(default_factory=dict)
    document: Mapping[str, object] | None = None

    @property
    def conversation(self) -> Conversation:
        """What moodline analyses, turn for turn; built anew at each call."""
        return Conversation(
            conversation_id=self.conversation_id,
            turns=tuple(
                Turn(
                    role=turn.role.domain_role,
                    text=turn.text,
                    turn_id=turn.turn_id,
                    participant_id=turn.participant_id,
                    start_ms=turn.start_ms,
                    end_ms=turn.end_ms,
                )
                for turn in self.turns
            ),
            channel=self.channel,
            language=self.language,
        )


@dataclass(frozen=True, slots=True)
class UnreadableItem:
    """A conversation, or a whole file, that could not be read; those after it may well be.

    Attributes:
        source: Name of the file or stream.
        place: Where in it, e.g. `line 3`, `line 12-18` or `[4]`; empty for all of it.
        violations: What is wrong with which field, and the remedy; never customer text.
        conversation_id: If it is known.
    """

    source: str
    place: str
    violations: tuple[FieldViolation, ...]
    conversation_id: str = ""

    def __str__(self) -> str:
        where = f"{self.source}, {self.place}" if self.place else self.source
        what = "; ".join(f"{v.field} {v.description}".strip() for v in self.violations)
        return f"{where}: {what}"
