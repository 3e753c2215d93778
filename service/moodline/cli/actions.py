"""Shows and replays the actions of a store, as `moodline actions` does it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

from rich import box
from rich.table import Table

from moodline.cli import render
from moodline.cli.sinks import new_console
from moodline.store.actions import ActionFilter, ActionStore, StoredAction
from moodline.store.database import Database
from moodline.store.tables import ActionState


async def find_actions(
    url: str, action_filter: ActionFilter, *, states: Collection[ActionState], limit: int
) -> Sequence[StoredAction]:
    """Return actions of a store, those planned last first.

    Raises:
        StoreError: If the store cannot be used.
    """
    async with _opened(url) as store:
        return await store.list(action_filter, states=states, limit=limit)


async def replay_actions(url: str, action_filter: ActionFilter) -> int:
    """Make dead actions of a store due now; return how many.

    Raises:
        StoreError: If the store cannot be used.
    """
    async with _opened(url) as store:
        return await store.replay(action_filter, at=datetime.now(UTC))


def write_json(actions: Sequence[StoredAction], output: TextIO) -> None:
    """Write one JSON object a line."""
    output.writelines(
        json.dumps(asdict(action), default=_json_value, ensure_ascii=False) + "\n"
        for action in actions
    )


def draw(actions: Sequence[StoredAction]) -> None:
    """Draw a table on standard output."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    # Whole, because it is copied.
    table.add_column("key", no_wrap=True)
    for column in ("tenant", "kind", "target", "state", "tries", "error", "planned"):
        table.add_column(column, overflow="fold")
    for action in actions:
        table.add_row(
            action.idempotency_key,
            render.escaped(action.tenant),
            action.kind,
            render.escaped(action.target),
            action.state,
            str(action.attempt_count),
            action.last_error,
            f"{action.created_at:%Y-%m-%d %H:%M}",
        )
    new_console().print(table)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[ActionStore]:
    # Not the moment to change a schema that servers may be using.
    database = await Database.open(url, migrate=False)
    try:
        yield ActionStore(database)
    finally:
        await database.close()


def _json_value(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()
