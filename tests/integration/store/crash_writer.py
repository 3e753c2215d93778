"""Records signals for ever and says which are recorded, until it is killed: URL FIRST_NUMBER."""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from moodline.store.database import Database
from moodline.store.signals import SignalStore
from tests.integration.store.making import NOW, contact, raised, updated


async def main(url: str, first: int) -> None:
    store = SignalStore(await Database.open(url))
    for number in count(first):
        name = f"c{number}"
        event = raised(name)
        events = [event, updated(event.signal, 5, probability=0.9)]
        await store.record(contact(name), events, at=NOW)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
