"""What the store gives and takes, as frozen values; knows no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from moodline.rules.history import CustomerPast
from moodline.rules.model import Reason, Route, Severity
from moodline.signals.domain import Signal, SignalEventKind, SignalState


@dataclass(frozen=True, slots=True)
class Contact:
    """A conversation as far as the store needs it.

    Attributes:
        tenant: Whose it is.
        conversation_id: Unique in the tenant.
        customer_id: Who the customer is; empty if unknown.
        channel: As `Conversation.channel`; empty if unknown.
        language: BCP-47 tag; empty if unknown yet.
        started_at: When it began, with time zone. The first that is recorded stays.
    """

    tenant: str
    conversation_id: str
    customer_id: str
    channel: str
    language: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class BegunContact:
    """What the store knew of a contact when it began.

    Attributes:
        is_new: Whether the store did not know it; it then has no signals.
        past: What is known of its customer from before it; None if nobody has said who that is.
    """

    is_new: bool
    past: CustomerPast | None


@dataclass(frozen=True, slots=True)
class StoredSignal:
    """A signal as it is kept.

    Attributes:
        tenant: Whose it is.
        signal: The signal; personal data in its quotes is masked.
        channel: Of its contact, as known now.
        language: Of its contact, as known now.
        customer_id: Of its contact, as known now.
        raised_at: When its first event was recorded, in UTC.
        updated_at: When its latest event was recorded, in UTC.
        ended_at: When it ended, in UTC; None while it is open.
        position: Of its latest event.
        comment: What whoever resolved it wrote.
    """

    tenant: str
    signal: Signal
    channel: str
    language: str
    customer_id: str
    raised_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    position: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of a signal as it is kept.

    Attributes:
        position: Its place among the events of its tenant, from 1; rising, not without gaps.
        event_id: Unique in the tenant.
        kind: What happened.
        at: When it was recorded, in UTC.
        signal: The signal as it stood afterwards.
    """

    position: int
    event_id: str
    kind: SignalEventKind
    at: datetime
    signal: StoredSignal


@dataclass(frozen=True, slots=True)
class SignalFilter:
    """Which signals to list: all conditions hold; what is left empty asks for nothing.

    Attributes:
        states: One of these.
        min_severity: At least so severe.
        reasons: One of these.
        routes: One of these.
        causes: One of these.
        conversation_id: Of this conversation.
        customer_id: Of this customer.
        raised_from: Raised then or later.
        raised_before: Raised before then.
    """

    states: frozenset[SignalState] = frozenset()
    min_severity: Severity = Severity.INFO
    reasons: frozenset[Reason] = frozenset()
    routes: frozenset[Route] = frozenset()
    causes: frozenset[str] = frozenset()
    conversation_id: str = ""
    customer_id: str = ""
    raised_from: datetime | None = None
    raised_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class PageKey:
    """After which signal a page begins.

    Attributes:
        raised_at: Of that signal.
        signal_id: Of that signal.
    """

    raised_at: datetime
    signal_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of signals.

    Attributes:
        signals: Newest raised first.
        next: Where the next page begins; None after the last.
    """

    signals: tuple[StoredSignal, ...]
    next: PageKey | None
