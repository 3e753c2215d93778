"""What was recorded survives kill -9 in the midst of writing, once and whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import select

from moodline.store.signals import SignalStore
from moodline.store.tables import actions
from tests.integration.store.conftest import OpenDatabase
from tests.integration.store.making import ACTIONS, TENANT

ROOT = Path(__file__).parents[3]
KILL_COUNT = 3
RECORDED_COUNT = 10
"""Before each kill."""


def write_until_killed(url: str, first: int) -> int:
    """Return the number of the last conversation whose `record` returned."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.store.crash_writer", url, str(first)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        for _ in range(RECORDED_COUNT):
            assert writer.stdout.readline()
        writer.kill()
        rest = writer.stdout.read().split()
    return int(rest[-1]) if rest else first + RECORDED_COUNT - 1


async def test_killing_a_writer_loses_and_doubles_nothing(
    database_url: str, open_database: OpenDatabase
) -> None:
    last = 0
    for _ in range(KILL_COUNT):
        # As a client does that has had no answer, the next one sends the last once more.
        last = write_until_killed(database_url, last)
    database = await open_database()
    events = await SignalStore(database).events_after(TENANT, 0, limit=100_000)
    kinds: dict[str, list[str]] = {}
    for event in events:
        kinds.setdefault(event.signal.signal.conversation_id, []).append(event.kind.value)
    assert {f"c{number}" for number in range(last + 1)} <= set(kinds)
    assert set(map(tuple, kinds.values())) == {("RAISED", "UPDATED")}
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    asked = select(actions.c.signal_id)
    planned = await database.read(lambda connection: connection.scalars(asked).all())
    # What the last writer had sent may be committed after its death, and after we looked.
    seen = {event.signal.signal.signal_id for event in events}
    assert sum(signal_id in seen for signal_id in planned) == len(ACTIONS) * len(kinds)
