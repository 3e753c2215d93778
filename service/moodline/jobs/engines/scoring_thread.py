"""Runs a model's event loop in a thread, for callers who have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from moodline.jobs.analyzing import ModelIdentity, ReadyModel
from moodline.jobs.answers import Answer, answer
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator


class ScoringThread:
    """Analyses conversations in an event loop of its own; an engine as it is.

    Attributes:
        max_in_flight: As given; not enforced here.
    """

    def __init__(
        self,
        open_model: Callable[[], AbstractAsyncContextManager[ReadyModel]],
        *,
        max_in_flight: int,
    ) -> None:
        """Take what is needed; nothing is started here.

        Args:
            open_model: Opens the model, inside the loop.
            max_in_flight: How many conversations may be analysed at a time.
        """
        self.max_in_flight = max_in_flight
        self._open_model = open_model
        self._validator = RequestValidator(Limits())
        self._opened: Future[tuple[asyncio.AbstractEventLoop, ReadyModel]] = Future()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="moodline-scoring", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop, self._model = self._opened.result()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()

    @property
    def identity(self) -> ModelIdentity:
        """The model that answers."""
        return self._model.identity

    def submit(self, message: bytes) -> Future[Answer]:
        """Begin to analyse a conversation; see `ScoringEngine.submit`."""
        return asyncio.run_coroutine_threadsafe(
            answer(message, self._model.analyze, self._validator), self._loop
        )

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            async with self._open_model() as model:
                self._opened.set_result((asyncio.get_running_loop(), model))
                await self._is_over.wait()
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)
