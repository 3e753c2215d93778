"""Runs a model's event loop in a thread, for callers who have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager

from moodline.jobs.analyzing import ReadyModel, answer
from moodline.jobs.answers import Answer
from moodline.jobs.model import ModelIdentity
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator


@contextmanager
def scoring_thread(
    open_model: Callable[[], AbstractAsyncContextManager[ReadyModel]], *, max_in_flight: int
) -> Iterator[ScoringThread]:
    """Run an event loop with a model in it.

    Args:
        open_model: Opens the model, inside the loop; what it raises is raised here.
        max_in_flight: How many conversations may be analysed at a time; not enforced.
    """
    opened: Future[tuple[asyncio.AbstractEventLoop, ReadyModel]] = Future()
    is_over = asyncio.Event()

    async def serve() -> None:
        try:
            async with open_model() as model:
                opened.set_result((asyncio.get_running_loop(), model))
                await is_over.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    thread = threading.Thread(
        target=lambda: asyncio.run(serve()), name="moodline-scoring", daemon=True
    )
    thread.start()
    loop, model = opened.result()
    try:
        yield ScoringThread(loop, model, max_in_flight)
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join()


class ScoringThread:
    """Analyses conversations in the loop of another thread; an engine as it is.

    Attributes:
        max_in_flight: As given; not enforced here.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, model: ReadyModel, max_in_flight: int
    ) -> None:
        """Made by `scoring_thread` alone."""
        self.max_in_flight = max_in_flight
        self._loop = loop
        self._model = model
        self._validator = RequestValidator(Limits())

    @property
    def identity(self) -> ModelIdentity:
        """The model that answers."""
        return self._model.identity

    def submit(self, message: bytes) -> Future[Answer]:
        """Begin to analyse a conversation; see `ScoringEngine.submit`."""
        return asyncio.run_coroutine_threadsafe(
            answer(message, self._model.analyze, self._validator), self._loop
        )
