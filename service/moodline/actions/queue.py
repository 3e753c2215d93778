"""What delivery needs of whoever keeps the actions; the store implements it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Destination:
    """Some of the actions of one kind.

    Attributes:
        kind: As `rules.model.Action.kind`.
        target: As `rules.model.Action.target`; None for every target but `excluded`.
        excluded: Targets that others serve; empty if `target` is given.
    """

    kind: str
    target: str | None
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LeasedAction:
    """An action that one deliverer alone may deliver now.

    Attributes:
        tenant: Whose signal asked for it.
        idempotency_key: Unique; see `plan.PlannedAction`.
        kind: As `rules.model.Action.kind`.
        target: As `rules.model.Action.target`.
        payload: What the receiver is told.
        lease_owner: Whom it is leased to; unique for each lease.
        attempt_count: Of attempts since it was planned or replayed, this one included.
        queued_at: When it was planned or replayed, in UTC.
    """

    tenant: str
    idempotency_key: str
    kind: str
    target: str
    payload: Mapping[str, Any]
    lease_owner: str
    attempt_count: int
    queued_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, of all that is to be delivered.

    Attributes:
        count: Of actions that are neither done nor dead.
        oldest_at: When the oldest of them was planned or replayed; None if there is none.
    """

    count: int
    oldest_at: datetime | None


class ActionQueue(Protocol):
    """Keeps actions until they are done; several deliverers may share it.

    What it does is committed when a method returns. Methods that end a lease change nothing and
    return False if the action is not leased to `action.lease_owner` any more.

    Raises:
        StoreError: From every method, if the store cannot be reached.
    """

    async def lease(
        self, destination: Destination, *, owner: str, at: datetime, until: datetime, limit: int
    ) -> Sequence[LeasedAction]:
        """Take up to `limit` actions that are due, or whose lease has run out; oldest due first.

        Args:
            destination: Which.
            owner: Unique for each call.
            at: Now.
            until: When the lease runs out.
            limit: At least 1.
        """
        ...

    async def finish(self, action: LeasedAction, *, at: datetime) -> bool:
        """Note that it is delivered."""
        ...

    async def postpone(self, action: LeasedAction, *, until: datetime, error: str) -> bool:
        """Give it back; it is due again at `until`."""
        ...

    async def bury(self, action: LeasedAction, *, at: datetime, error: str) -> bool:
        """Note that it is dead: nobody tries it again unless it is replayed."""
        ...

    async def skip(self, destination: Destination, *, at: datetime, error: str) -> int:
        """Note of all that wait that nobody wants them: they are done. Returns how many."""
        ...

    async def backlog(self) -> Backlog:
        """Return what waits, of all tenants."""
        ...
