"""Times the turns of a stream as their sender sees them."""

from __future__ import annotations

import time

from moodline.client import AsyncMoodlineClient, Conversation


async def turn_seconds(
    client: AsyncMoodlineClient, conversation: Conversation, *, conversation_id: str
) -> list[float]:
    """Stream a conversation, each turn when the result of the last one has come.

    Args:
        client: Open.
        conversation: Its turns are final.
        conversation_id: Of the stream.

    Returns:
        Seconds from sending each turn to its result.
    """
    seconds = []
    async with client.stream(conversation_id) as stream:
        for turn in conversation.turns:
            started_s = time.monotonic()
            await stream.send(turn)
            await stream.receive()
            seconds.append(time.monotonic() - started_s)
        await stream.finish()
    return seconds
