"""Brings what people and the clock do to signals to the conversations that run in this process."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from moodline.errors import StoreError
from moodline.keeping.patience import Patience
from moodline.signals.domain import SignalEvent, SignalEventKind
from moodline.store.signals import SignalStore, StoredEvent

Listener = Callable[[SignalEvent], None]

_BY_PEOPLE: Final = frozenset(
    {SignalEventKind.ACKNOWLEDGED, SignalEventKind.RESOLVED, SignalEventKind.EXPIRED}
)
_LOOK_REST_S: Final = 0.1
"""Between two looks at the store, which conversations cause all the time."""
_REST_S: Final = 1.0
"""Before a store that failed is watched again."""

_log = structlog.get_logger(__name__)


class PeopleFeed:
    """Watches the events of each tenant that has a conversation running here."""

    def __init__(self, store: SignalStore) -> None:
        """Take the store; nothing is watched until somebody listens."""
        self._store = store
        self._tenants: dict[str, _TenantFeed] = {}

    @asynccontextmanager
    async def listening(
        self, tenant: str, conversation_id: str, listener: Listener, *, patience: Patience
    ) -> AsyncIterator[None]:
        """Tell a listener what happens to signals of a conversation from now on, in the block.

        Args:
            tenant: Whose conversation it is.
            conversation_id: The conversation.
            listener: Called with each event; some may be the conversation's own.
            patience: For the store, on entering the block.

        Raises:
            StoreUnavailableError: If the patience ends first.
        """
        feed = self._tenants.setdefault(tenant, _TenantFeed(self._store, tenant))
        feed.listeners[conversation_id].append(listener)
        try:
            await feed.start(patience)
            yield
        finally:
            feed.listeners[conversation_id].remove(listener)
            if not feed.listeners[conversation_id]:
                del feed.listeners[conversation_id]
            if not feed.listeners:
                del self._tenants[tenant]
                await feed.stop()


class _TenantFeed:
    """The events of one tenant, from the first listener's moment on."""

    def __init__(self, store: SignalStore, tenant: str) -> None:
        self.listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self._store = store
        self._tenant = tenant
        self._starting = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    async def start(self, patience: Patience) -> None:
        async with self._starting:
            if self._following is None:
                position = await patience.call(lambda: self._store.last_position(self._tenant))
                self._following = asyncio.create_task(
                    self._follow(position), name="moodline-people-feed"
                )

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    async def _follow(self, position: int) -> None:
        while True:
            try:
                # Of the many events that conversations cause, few are read back.
                async for stored in self._store.watch(
                    self._tenant, position, kinds=_BY_PEOPLE, rest_s=_LOOK_REST_S
                ):
                    position = stored.position
                    self._tell(stored)
            except StoreError as error:
                _log.warning("watch_failed", problem=str(error))
            await asyncio.sleep(_REST_S)

    def _tell(self, stored: StoredEvent) -> None:
        event = SignalEvent(stored.kind, stored.signal.signal)
        if event.event_id != stored.event_id:
            # The end of the conversation, as another stream of it has come to it.
            return
        for listener in tuple(self.listeners.get(event.signal.conversation_id, ())):
            listener(event)
