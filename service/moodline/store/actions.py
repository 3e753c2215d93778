"""Keeps actions until they are done, for deliverers in any number of processes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Update,
    and_,
    func,
    or_,
    select,
    tuple_,
    update,
)

from moodline.actions.queue import Backlog, Destination, LeasedAction
from moodline.store.database import Database
from moodline.store.tables import ActionState, actions

_IDENTITY: Final = attrgetter("tenant", "idempotency_key", "kind", "target")
"""Of a row: what `LeasedAction` and `StoredAction` begin with."""


@dataclass(frozen=True, slots=True)
class StoredAction:
    """An action as it is kept, without what its receiver is told.

    Attributes:
        tenant: Whose signal asked for it.
        idempotency_key: Unique; see `plan.PlannedAction`.
        kind: As `rules.model.Action.kind`.
        target: As `rules.model.Action.target`.
        signal_id: Of the signal.
        state: Where it stands.
        attempt_count: Since it was planned or replayed.
        created_at: When it was planned, in UTC.
        next_attempt_at: When it is due, if it is pending.
        finished_at: When it was done or dead; None before.
        last_error: Of the latest attempt that failed; empty for none.
    """

    tenant: str
    idempotency_key: str
    kind: str
    target: str
    signal_id: str
    state: ActionState
    attempt_count: int
    created_at: datetime
    next_attempt_at: datetime
    finished_at: datetime | None
    last_error: str


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Which actions: all conditions hold; what is None or empty asks for nothing.

    Attributes:
        tenant: Of this tenant.
        kind: Of this kind.
        target: Of this target; the empty one is the default target.
        keys: With one of these idempotency keys.
    """

    tenant: str | None = None
    kind: str | None = None
    target: str | None = None
    keys: Collection[str] = ()


class ActionStore:
    """The actions of a database; an `actions.queue.ActionQueue`."""

    def __init__(self, database: Database) -> None:
        """Take an open database."""
        self._database = database

    async def lease(
        self, destination: Destination, *, owner: str, at: datetime, until: datetime, limit: int
    ) -> Sequence[LeasedAction]:
        """Take actions to deliver; see `ActionQueue`."""
        due = (
            select(actions)
            .where(_is_of(destination), _is_free(at), actions.c.next_attempt_at <= at)
            .order_by(actions.c.next_attempt_at, actions.c.idempotency_key)
            .limit(limit)
            # PostgreSQL passes over what another deliverer is leasing; SQLite has one writer.
            .with_for_update(skip_locked=True)
        )

        def work(connection: Connection) -> Sequence[Row[Any]]:
            rows = connection.execute(due).all()
            if rows:
                connection.execute(
                    update(actions)
                    .where(_key().in_([(row.tenant, row.idempotency_key) for row in rows]))
                    .values(
                        state=ActionState.DELIVERING,
                        lease_owner=owner,
                        lease_until=until,
                        attempt_count=actions.c.attempt_count + 1,
                    )
                )
            return rows

        return [
            LeasedAction(
                *_IDENTITY(row),
                payload=row.payload,
                lease_owner=owner,
                attempt_count=row.attempt_count + 1,
                queued_at=row.queued_at,
            )
            for row in await self._database.write(work)
        ]

    async def finish(self, action: LeasedAction, *, at: datetime) -> bool:
        """Note that it is delivered; see `ActionQueue`."""
        return await self._end_lease(action, state=ActionState.DONE, finished_at=at, last_error="")

    async def postpone(self, action: LeasedAction, *, until: datetime, error: str) -> bool:
        """Give it back; see `ActionQueue`."""
        return await self._end_lease(
            action, state=ActionState.PENDING, next_attempt_at=until, last_error=error
        )

    async def bury(self, action: LeasedAction, *, at: datetime, error: str) -> bool:
        """Note that it is dead; see `ActionQueue`."""
        return await self._end_lease(
            action, state=ActionState.DEAD, finished_at=at, last_error=error
        )

    async def skip(self, destination: Destination, *, at: datetime, error: str) -> int:
        """Note that nobody wants them; see `ActionQueue`."""
        return await self._change(
            update(actions)
            .where(_is_of(destination), _is_free(at))
            .values(
                state=ActionState.DONE,
                finished_at=at,
                last_error=error,
                lease_owner="",
                lease_until=None,
            )
        )

    async def backlog(self) -> Backlog:
        """Return what waits; see `ActionQueue`."""
        waiting = select(func.count(), func.min(actions.c.queued_at)).where(
            actions.c.state.in_((ActionState.PENDING, ActionState.DELIVERING))
        )
        count, oldest_at = await self._database.read(
            lambda connection: connection.execute(waiting).one()
        )
        return Backlog(count, oldest_at)

    async def list(
        self, action_filter: ActionFilter, *, states: Collection[ActionState], limit: int
    ) -> Sequence[StoredAction]:
        """Return actions in one of some states, those planned last first.

        Raises:
            StoreError: If the database fails.
        """
        found = (
            select(actions)
            .where(actions.c.state.in_(states), *_conditions(action_filter))
            .order_by(actions.c.created_at.desc(), actions.c.idempotency_key)
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(found).all())
        return [
            StoredAction(
                *_IDENTITY(row),
                signal_id=row.signal_id,
                state=ActionState(row.state),
                attempt_count=row.attempt_count,
                created_at=row.created_at,
                next_attempt_at=row.next_attempt_at,
                finished_at=row.finished_at,
                last_error=row.last_error,
            )
            for row in rows
        ]

    async def replay(self, action_filter: ActionFilter, *, at: datetime) -> int:
        """Make dead actions pending again, as if they were planned now; return how many.

        They keep their idempotency keys, so a receiver that has done one already does nothing.

        Raises:
            StoreError: If the database fails; nothing was changed.
        """
        return await self._change(
            update(actions)
            .where(actions.c.state == ActionState.DEAD, *_conditions(action_filter))
            .values(
                state=ActionState.PENDING,
                attempt_count=0,
                queued_at=at,
                next_attempt_at=at,
                finished_at=None,
            )
        )

    async def _end_lease(self, action: LeasedAction, **values: Any) -> bool:
        """Change an action unless its lease was taken over; return whether it was changed."""
        count = await self._change(
            update(actions)
            .where(
                actions.c.tenant == action.tenant,
                actions.c.idempotency_key == action.idempotency_key,
                actions.c.state == ActionState.DELIVERING,
                actions.c.lease_owner == action.lease_owner,
            )
            .values(lease_owner="", lease_until=None, **values)
        )
        return count == 1

    async def _change(self, statement: Update) -> int:
        """Return how many actions it changed."""
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)


def _key() -> ColumnElement[Any]:
    return tuple_(actions.c.tenant, actions.c.idempotency_key)


def _is_of(destination: Destination) -> ColumnElement[bool]:
    is_of_kind = actions.c.kind == destination.kind
    if destination.target is not None:
        return and_(is_of_kind, actions.c.target == destination.target)
    return and_(is_of_kind, actions.c.target.not_in(destination.excluded))


def _is_free(at: datetime) -> ColumnElement[bool]:
    """Waiting, and not in the hands of a deliverer that may still be alive."""
    return or_(
        actions.c.state == ActionState.PENDING,
        and_(actions.c.state == ActionState.DELIVERING, actions.c.lease_until <= at),
    )


def _conditions(action_filter: ActionFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if action_filter.tenant is not None:
        conditions.append(actions.c.tenant == action_filter.tenant)
    if action_filter.kind is not None:
        conditions.append(actions.c.kind == action_filter.kind)
    if action_filter.target is not None:
        conditions.append(actions.c.target == action_filter.target)
    if action_filter.keys:
        conditions.append(actions.c.idempotency_key.in_(action_filter.keys))
    return conditions
