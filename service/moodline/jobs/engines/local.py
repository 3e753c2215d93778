"""Processes of this machine that hold the model each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, TypeAlias

from moodline.cpu_quota import cpu_quota
from moodline.errors import ArtifactError, EngineDiedError
from moodline.jobs.analyzing import open_local
from moodline.jobs.answers import Answer
from moodline.jobs.engines.scoring_thread import scoring_thread
from moodline.jobs.model import ModelIdentity
from moodline.settings import Settings
from moodline.telemetry.logging import configure_logging

IN_FLIGHT_PER_PROCESS: Final = 160
"""Conversations that a process has at a time: turns for several engine calls, so that the batches
are full while results are written and more is read."""

_Request: TypeAlias = tuple[int, bytes] | None
"""Number and conversation; None says that there are no more."""
_Hello: TypeAlias = ModelIdentity | str
"""The model, once it is loaded, or why it cannot be."""
_Reply: TypeAlias = tuple[int, Answer | str]
"""Number and answer, or why there will be no answers any more."""


def default_process_count() -> int:
    """Return how many processes to run: one for each processor that may be used.

    Processes share nothing that one of them would wait for, unlike the threads of one engine.
    """
    return cpu_quota()


@contextmanager
def local_engine(settings: Settings, *, process_count: int) -> Iterator[LocalProcesses]:
    """Run processes that hold the model each.

    Args:
        settings: Of the model; the threads of each process are its share of the processors, unless
            the settings name a number.
        process_count: At least 1.

    Raises:
        ArtifactError: If the model is not what its manifest says.
        EngineDiedError: If a process ends before it is ready.
    """
    threads = settings.engine.intra_op_threads or max(1, cpu_quota() // process_count)
    engine = settings.engine.model_copy(update={"intra_op_threads": threads})
    settings = settings.model_copy(update={"engine": engine})
    with ExitStack() as stack:
        processes = [stack.enter_context(_scoring_process(settings)) for _ in range(process_count)]
        identities = [process.wait_until_ready() for process in processes]
        yield LocalProcesses(processes, identities[0])


class LocalProcesses:
    """An engine of several processes; each conversation goes to the one with the least to do."""

    def __init__(self, processes: Sequence[_ScoringProcess], identity: ModelIdentity) -> None:
        """Made by `local_engine` alone."""
        self._processes = processes
        self._identity = identity

    @property
    def identity(self) -> ModelIdentity:
        """The model that answers."""
        return self._identity

    @property
    def max_in_flight(self) -> int:
        """How many conversations fill all processes."""
        return IN_FLIGHT_PER_PROCESS * len(self._processes)

    def submit(self, message: bytes) -> Future[Answer]:
        """Begin to analyse a conversation; see `ScoringEngine.submit`."""
        return min(self._processes, key=lambda process: process.pending_count).submit(message)


@contextmanager
def _scoring_process(settings: Settings) -> Iterator[_ScoringProcess]:
    # A forked process would inherit threads and locks in the middle of what they do.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_score_for_parent, args=(theirs, settings), name="moodline-scoring", daemon=True
    )
    process.start()
    # Ours must be the only ends, so that each side notices the end of the other.
    theirs.close()
    scoring = _ScoringProcess(process, ours)
    try:
        yield scoring
        with suppress(OSError):
            ours.send(None)
    except BaseException:
        process.terminate()
        raise
    finally:
        scoring.join()
        ours.close()


class _ScoringProcess:
    """One process, and the thread that receives its answers."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process = process
        self._connection = connection
        self._receiver = threading.Thread(
            target=self._receive, name="moodline-receive", daemon=True
        )
        self._lock = threading.Lock()
        self._is_alive = True
        self._pending: dict[int, Future[Answer]] = {}
        self._submitted_count = 0

    @property
    def pending_count(self) -> int:
        return len(self._pending)

    def wait_until_ready(self) -> ModelIdentity:
        try:
            hello: _Hello = self._connection.recv()
        except EOFError:
            raise self._death() from None
        if isinstance(hello, str):
            raise ArtifactError(hello)
        self._receiver.start()
        return hello

    def join(self) -> None:
        """Wait for the end of the process, and of what it still had to say."""
        self._process.join()
        if self._receiver.ident is not None:
            self._receiver.join()

    def submit(self, message: bytes) -> Future[Answer]:
        future: Future[Answer] = Future()
        with self._lock:
            if not self._is_alive:
                future.set_exception(self._death())
                return future
            self._submitted_count += 1
            number = self._submitted_count
            self._pending[number] = future
        # If the process has died meanwhile, the receiver tells the future.
        with suppress(OSError):
            self._connection.send((number, message))
        return future

    def _receive(self) -> None:
        while True:
            try:
                reply: _Reply = self._connection.recv()
            except (EOFError, OSError):
                break
            number, answer = reply
            future = self._pending.pop(number)
            if isinstance(answer, str):
                future.set_exception(EngineDiedError(answer))
            else:
                future.set_result(answer)
        with self._lock:
            self._is_alive = False
            abandoned = list(self._pending.values())
            self._pending.clear()
        for future in abandoned:
            future.set_exception(self._death())

    def _death(self) -> EngineDiedError:
        self._process.join(timeout=5)
        return EngineDiedError(
            f"A scoring process ended with {self._process.exitcode}; if the system killed it for "
            "memory, run fewer processes (--processes), then go on with --resume."
        )


def _score_for_parent(connection: Connection, settings: Settings) -> None:
    """Answer until there is nothing more; runs in a process of its own."""
    # Ctrl-C reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(level="WARNING")
    try:
        with scoring_thread(
            lambda: open_local(settings), max_in_flight=IN_FLIGHT_PER_PROCESS
        ) as scoring:
            connection.send(scoring.identity)
            replier = _Replier(connection)
            while (request := _next_request(connection)) is not None:
                number, message = request
                scoring.submit(message).add_done_callback(partial(replier.reply, number))
    except ArtifactError as error:
        connection.send(str(error))


def _next_request(connection: Connection) -> _Request:
    try:
        request: _Request = connection.recv()
    except EOFError:
        # The parent was killed: nobody wants what is still being computed.
        os._exit(1)
    return request


class _Replier:
    """Sends answers from whichever thread has one: the loop's, or the one that submitted.

    A long message is written in pieces, between which those of another would end up.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def reply(self, number: int, answered: Future[Answer]) -> None:
        if answered.cancelled():
            return
        error = answered.exception()
        reply: _Reply = (number, str(error) if error else answered.result())
        with self._lock, suppress(OSError):
            self._connection.send(reply)
