"""Joins what a caller of a stream sends with what its turns do to signals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from moodline.keeping.live import LiveSignals, ToldSignals

_Request = TypeVar("_Request")


async def requests_and_signals(
    requests: AsyncIterator[_Request], live: LiveSignals
) -> AsyncGenerator[_Request | ToldSignals, None]:
    """Yield requests as they come and signals as they are told, signals first.

    After the last request the conversation is finished and the remaining signals follow. Whoever
    iterates adds the result of a turn to `live` before asking for more.

    Args:
        requests: Read one at a time.
        live: The signals of the conversation.

    Raises:
        MoodlineError: What `requests` and `live` raise.
    """
    reading = asyncio.ensure_future(_next(requests))
    changing: asyncio.Future[None] | None = None
    try:
        while True:
            for told in live.take():
                yield told
            if reading.done():
                request = reading.result()
                if request is None:
                    break
                yield request
                reading = asyncio.ensure_future(_next(requests))
                continue
            changing = changing or asyncio.ensure_future(live.changed())
            await asyncio.wait((reading, changing), return_when=asyncio.FIRST_COMPLETED)
            changing = None if changing.done() else changing
        live.finish()
        while True:
            for told in live.take():
                yield told
            if live.is_done:
                break
            await live.changed()
    finally:
        for waiting in (reading, changing):
            if waiting is not None and not waiting.cancel() and not waiting.cancelled():
                # What went wrong with a read no longer matters; asked, it is not reported either.
                waiting.exception()


async def _next(requests: AsyncIterator[_Request]) -> _Request | None:
    return await anext(requests, None)
