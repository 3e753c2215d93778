"""Actors of a Ray cluster that hold the model each. Needs the extra `ray`.

Ray Data runs one endless pipeline for the whole job: a generator takes conversations, a few at a
time, out of an inbox beside the driver, and a pool of actors maps them to answers, which come back
in any order. What is under way is bounded by `max_in_flight`, and by the back-pressure of Ray Data
where the actors are slower than that.

Ray computes anew what a dead actor or node held. So that this gives the same again, the inbox keeps
every chunk under its number until its answers have arrived.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from moodline.app import find_artifact, find_rules
from moodline.cpu_quota import cpu_quota
from moodline.errors import ArtifactError, EngineDiedError, MoodlineError
from moodline.jobs.analyzing import open_local
from moodline.jobs.answers import Answer
from moodline.jobs.engines.scoring_thread import scoring_thread
from moodline.jobs.errors import JobError
from moodline.jobs.model import ModelIdentity
from moodline.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

CHUNK_ITEMS: Final = 16
"""Conversations that travel together, at most: a task of Ray costs milliseconds."""
GATHER_S: Final = 0.01
"""How long the inbox waits for more, so that those that come in one go travel together."""
CHUNKS_PER_ACTOR: Final = 4
"""Chunks that an actor works on at a time: as many conversations as a local process has."""
IN_FLIGHT_PER_ACTOR: Final = 2 * CHUNKS_PER_ACTOR * CHUNK_ITEMS
"""Conversations for an actor to work on, and as many that wait beside it."""
CONNECT_TIMEOUT_S: Final = 10.0
LOCAL: Final = "local"
"""The address that makes Ray start a cluster of this machine, for this job alone."""
ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Of a cluster that is started here: its workers are the job, not something beside it. They
    # have 15 else, and hardly begin where anything else is going on.
    "RAY_worker_niceness": "0",
    # Else what is still reading when the job is broken off starts a cluster of its own.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # Lines of Ray's own that nobody can act on, in the middle of ours.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
"""Variables that Ray reads when it begins, unless they are set otherwise."""
_COLUMN: Final = "chunk"

_Chunk: TypeAlias = list[tuple[int, bytes]]
"""Numbers and conversations."""
_Answers: TypeAlias = list[tuple[int, Answer | str]]
"""Numbers and answers, or why there will be no answers any more."""


@contextmanager
def ray_engine(
    settings: Settings, *, address: str = LOCAL, actor_count: int | None = None
) -> Iterator[RayCluster]:
    """Run actors that hold the model each; the connection to the cluster is theirs alone.

    Args:
        settings: Of the model. An actor takes as many processors of the cluster as it has threads:
            one, unless the settings name a number.
        address: Of the cluster, as of `ray.init`.
        actor_count: At least 1; None for as many as the cluster has processors for.

    Raises:
        ArtifactError: If the model of this machine is not what its manifest says.
        JobError: If Ray is not installed, or there is no cluster.
    """
    if importlib.util.find_spec("ray") is None:
        raise JobError("Ray is not installed; install it with: pip install 'moodline[ray]'")
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    artifact = find_artifact(settings)
    rule_set = find_rules(settings)
    identity = ModelIdentity(artifact.model_version, artifact.digest, rule_set.digest)
    threads = settings.engine.intra_op_threads or 1
    engine = settings.engine.model_copy(update={"intra_op_threads": threads})
    settings = settings.model_copy(update={"engine": engine})
    _connect(address, (actor_count or max(1, cpu_quota() // threads)) * threads)
    try:
        processors = int(ray.cluster_resources().get("CPU", 0))
        actor_count = actor_count or max(1, processors // threads)
        # Beside the driver: if that machine is lost the job ends anyhow.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        inbox: Any = ray.remote(_Inbox).options(num_cpus=0, scheduling_strategy=here).remote()
        pipeline = _pipeline(inbox, settings, identity, threads=threads, actor_count=actor_count)
        cluster = RayCluster(identity, inbox, IN_FLIGHT_PER_ACTOR * actor_count)
        receiver = threading.Thread(
            target=cluster.receive, args=(pipeline,), name="moodline-ray-receive", daemon=True
        )
        receiver.start()
        yield cluster
        # Everything is answered: the pipeline runs dry, and its actors end in order.
        inbox.close.remote()
        receiver.join()
    finally:
        ray.shutdown()


def _connect(address: str, processor_count: int) -> None:
    import ray
    from ray.exceptions import RayError

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    own: dict[str, Any] = {}
    if address == LOCAL:
        own = {"num_cpus": processor_count, "include_dashboard": False}
    try:
        host, _, port = address.rpartition(":")
        if host and port.isdecimal():
            # Ray itself goes on trying for minutes.
            socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        # Nothing of a conversation is in it yet.
        told = " ".join(str(error).split()) or type(error).__name__
        raise JobError(
            f"--ray-address {address}: no cluster can be joined there: {told}. `ray status` tells "
            "of one, `ray start` makes one; all machines need the same Ray and Python and, if the "
            "cluster asks for a token, RAY_AUTH_MODE=token and that token."
        ) from error


def _pipeline(
    inbox: Any, settings: Settings, identity: ModelIdentity, *, threads: int, actor_count: int
) -> Dataset:
    """Return what makes answers of what is in the inbox; it begins when it is read."""
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext()
    # A chunk is passed on as soon as it is there, not when there are megabytes of them.
    context.target_max_block_size = 1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    with DataContext.current(context):
        return (
            # One row, of which all chunks are made; that takes no processor of the actors.
            ray.data.from_items([0])
            .map_batches(
                _chunks_of,
                fn_args=(inbox,),
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=0,
            )
            .map_batches(
                _ScoringActor,
                fn_constructor_args=(settings, identity),
                batch_size=None,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(
                    size=actor_count,
                    max_tasks_in_flight_per_actor=2 * CHUNKS_PER_ACTOR,
                    max_concurrent_calls_per_actor=CHUNKS_PER_ACTOR,
                    enable_true_multi_threading=True,
                ),
                num_cpus=threads,
            )
        )


class RayCluster:
    """An engine of several actors on a Ray cluster."""

    def __init__(self, identity: ModelIdentity, inbox: Any, max_in_flight: int) -> None:
        """Made by `ray_engine` alone."""
        self._identity = identity
        self._inbox = inbox
        self._max_in_flight = max_in_flight
        self._lock = threading.Lock()
        self._pending: dict[int, Future[Answer]] = {}
        self._submitted_count = 0
        self._death = ""

    @property
    def identity(self) -> ModelIdentity:
        """The model that answers."""
        return self._identity

    @property
    def max_in_flight(self) -> int:
        """How many conversations fill all actors."""
        return self._max_in_flight

    def submit(self, message: bytes) -> Future[Answer]:
        """Begin to analyse a conversation; see `ScoringEngine.submit`."""
        future: Future[Answer] = Future()
        with self._lock:
            if self._death:
                future.set_exception(EngineDiedError(self._death))
                return future
            self._submitted_count += 1
            number = self._submitted_count
            self._pending[number] = future
        self._inbox.put.remote(number, message)
        return future

    def receive(self, pipeline: Dataset) -> None:
        """Run the pipeline to its end."""
        death = "The Ray job ended; go on with --resume."
        try:
            # Nothing is fetched ahead: that would hold an answer back until the next one is there.
            for batch in pipeline.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                number, chunk = _unpacked(batch)
                self._resolve(chunk)
                self._inbox.forget.remote(number)
        # Ray raises errors of many kinds, whose messages may quote what the actors worked on.
        except Exception as error:  # noqa: BLE001
            death = (
                f"The Ray job failed with {type(error).__name__}; see Ray's logs, then go on with "
                "--resume."
            )
        with self._lock:
            self._death = death
            abandoned = list(self._pending.values())
            self._pending.clear()
        for future in abandoned:
            future.set_exception(EngineDiedError(death))

    def _resolve(self, answers: _Answers) -> None:
        for number, answer in answers:
            future = self._pending.pop(number, None)
            if future is None:
                continue  # Computed anew after its first answer had arrived.
            if isinstance(answer, str):
                future.set_exception(EngineDiedError(answer))
            else:
                future.set_result(answer)


class _Inbox:
    """Conversations on their way into the pipeline; runs in the cluster."""

    def __init__(self) -> None:
        self._waiting: _Chunk = []
        self._chunks: dict[int, _Chunk] = {}
        self._cut_count = 0
        self._is_over = False
        self._changed = asyncio.Event()

    async def put(self, number: int, message: bytes) -> None:
        self._waiting.append((number, message))
        self._changed.set()

    async def close(self) -> None:
        self._is_over = True
        self._changed.set()

    async def chunk(self, number: int) -> bytes | None:
        """Return a chunk, once there is one: always the same, until it was forgotten.

        Returns:
            Pickled; None behind the last one.
        """
        while number >= self._cut_count:
            if self._waiting:
                await asyncio.sleep(GATHER_S)
                # Another that was asked for the same may have been here meanwhile.
                if number >= self._cut_count and self._waiting:
                    self._chunks[self._cut_count] = self._waiting[:CHUNK_ITEMS]
                    del self._waiting[:CHUNK_ITEMS]
                    self._cut_count += 1
            elif self._is_over:
                return None
            else:
                self._changed.clear()
                await self._changed.wait()
        return pickle.dumps((number, self._chunks.get(number, [])))

    async def forget(self, number: int) -> None:
        self._chunks.pop(number, None)


def _chunks_of(_: pa.Table, inbox: Any) -> Iterator[pa.Table]:
    """Yield chunks until there are no more; runs in the cluster."""
    import ray

    for number in count():
        chunk = ray.get(inbox.chunk.remote(number))
        if chunk is None:
            return
        yield _table(chunk)


class _ScoringActor:
    """Holds the model, and analyses chunks, several at a time; runs in the cluster."""

    def __init__(self, settings: Settings, identity: ModelIdentity) -> None:
        self._problem = ""
        # Open until Ray ends the process.
        self._stack = ExitStack()
        thread = scoring_thread(
            lambda: open_local(settings), max_in_flight=CHUNKS_PER_ACTOR * CHUNK_ITEMS
        )
        try:
            self._scoring = self._stack.enter_context(thread)
        except ArtifactError as error:
            # Raised, it would only make Ray try again and again.
            self._problem = f"A node of the cluster cannot load the model: {error}"
            return
        theirs = self._scoring.identity
        if theirs != identity:
            self._problem = (
                f"A node of the cluster has the model {theirs}, this machine {identity}; "
                "install the same everywhere."
            )

    def __call__(self, batch: pa.Table) -> pa.Table:
        number, chunk = _unpacked(batch)
        return _table(pickle.dumps((number, self._answers(chunk))))

    def _answers(self, chunk: _Chunk) -> _Answers:
        if self._problem:
            return [(number, self._problem) for number, _ in chunk]
        futures = [(number, self._scoring.submit(message)) for number, message in chunk]
        return [(number, _answer_or_death(future)) for number, future in futures]


def _answer_or_death(future: Future[Answer]) -> Answer | str:
    try:
        return future.result()
    except MoodlineError as error:
        return str(error)


def _table(packed: bytes) -> pa.Table:
    """Return one row; Ray Data knows no others than tables."""
    import pyarrow as pa

    return pa.table({_COLUMN: pa.array([packed], pa.large_binary())})


def _unpacked(batch: pa.Table) -> Any:
    (packed,) = batch.column(_COLUMN)
    return pickle.loads(packed.as_py())  # noqa: S301 - of our own job
