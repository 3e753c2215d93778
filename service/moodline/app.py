"""Composition root: builds the parts from the settings, starts and stops them in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

from moodline.actions.deliverer import ActionDeliverer
from moodline.actions.endpoints import Endpoint, read_endpoints, require_endpoints
from moodline.actions.metrics import ActionMetrics
from moodline.actions.retry import RetryPolicy
from moodline.analyzer import ConversationAnalyzer
from moodline.artifact import TOKENIZER_FILE, Artifact, bundled_model_dir, load_artifact
from moodline.batching.cache import EncodingCache
from moodline.batching.planner import BatchPolicy
from moodline.batching.queue import TokenLedger
from moodline.batching.runner import BatchRunner
from moodline.cpu_quota import cpu_quota
from moodline.domain import Conversation, Role, Turn
from moodline.encoding import TurnEncoder
from moodline.engine import OnnxConversationHead, OnnxEncoder
from moodline.errors import ArtifactError, EngineDiedError, RuleSetError, SettingsError
from moodline.jobs.served.metrics import JobMetrics
from moodline.jobs.served.scoring_jobs import JobLimits, ScoringJobs, open_scoring_jobs
from moodline.keeping.keeper import SignalKeeper
from moodline.keeping.upkeep import keep_up
from moodline.language import LanguageDetector
from moodline.limits import Limits
from moodline.rpc.server import RpcServer
from moodline.rules.rule_set import RuleSet
from moodline.settings import Settings, require_serving
from moodline.signals.engine import SignalEngine
from moodline.store.actions import ActionStore
from moodline.store.database import Database
from moodline.store.metrics import StoreMetrics
from moodline.store.signals import SignalStore
from moodline.telemetry.metrics import Metrics
from moodline.telemetry.metrics_endpoint import serve_metrics
from moodline.telemetry.tracing import open_tracing
from moodline.warmup import warm_up

GOLDEN_TOLERANCE: Final = 0.15
"""Largest difference from a golden score, in [-1, 1]. Checksums already hold the files; this finds
swapped labels, which turn scores over, and kernels that compute something else. It is wide because
8-bit kernels of processors without VNNI may saturate where the exporting one did not, by an amount
that nobody has measured yet: a small loss must not keep a server from starting."""
NO_STORE: Final = "none"
"""`store.url` that keeps no signals."""
STORE_FILE: Final = "moodline.db"
"""In the state folder."""
BACKGROUND_REST_S: Final = 5.0
"""Before background work that failed begins anew."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server listens.

    Attributes:
        host: As the settings say.
        port: Of gRPC.
        metrics_port: Of the Prometheus endpoint, if there is one.
    """

    host: str
    port: int
    metrics_port: int | None


def limits_of(settings: Settings) -> Limits:
    """The limits on requests; the size of a message alone is a setting."""
    return Limits(max_message_bytes=settings.server.max_message_bytes)


def server_version() -> str:
    """The version of the installed package; `unknown` for one that runs from its source alone."""
    try:
        return version("moodline")
    except PackageNotFoundError:
        return "unknown"


def find_artifact(settings: Settings) -> Artifact:
    """Load and check the artifact that the settings name, or the bundled one.

    Raises:
        ArtifactError: If it is missing or disagrees with its manifest.
    """
    return load_artifact(settings.engine.model_dir or bundled_model_dir())


def find_rules(settings: Settings) -> RuleSet:
    """Load and check the rules that the settings name, or those that come with moodline.

    Raises:
        SettingsError: If they cannot be used; names every problem.
    """
    path = settings.rules.path
    if path is None:
        return RuleSet.default()
    try:
        return RuleSet.load(path)
    except OSError as error:
        raise SettingsError(
            f"MOODLINE_RULES__PATH: {path}: {error.strerror}; name a readable file of rules."
        ) from error
    except RuleSetError as error:
        raise SettingsError(f"MOODLINE_RULES__PATH: {path} cannot be used:\n{error}") from error


def signal_engine(rule_set: RuleSet, artifact: Artifact) -> SignalEngine:
    """The rules, with what signals say that they rest on."""
    return SignalEngine(
        rule_set, model_version=artifact.model_version, configuration_digest=artifact.digest
    )


def store_url(settings: Settings, state_dir: Path | None) -> str | None:
    """Where signals are kept; None for nowhere.

    Args:
        settings: Of the process.
        state_dir: Where they are kept unless the settings say; made if it is missing.

    Raises:
        SettingsError: If that folder cannot be made.
    """
    if settings.store.url is not None:
        url = settings.store.url.get_secret_value()
        return None if url == NO_STORE else url
    if state_dir is None:
        return None
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"MOODLINE_STORE__URL is not set, and {state_dir} cannot be made: {error.strerror}; "
            f"name a database, or {NO_STORE} to keep no signals."
        ) from error
    return f"sqlite:///{state_dir.resolve() / STORE_FILE}"


@asynccontextmanager
async def open_keeper(
    settings: Settings, *, rule_set: RuleSet, metrics: Metrics, state_dir: Path | None = None
) -> AsyncIterator[SignalKeeper | None]:
    """Open the store, and run what works on it; on leaving, keep what was told and close it.

    Args:
        settings: Of the process.
        rule_set: The rules in force.
        metrics: Where counts go.
        state_dir: As of `store_url`.

    Yields:
        None if signals are kept nowhere.

    Raises:
        SettingsError: If endpoints of actions are missing, or the state folder cannot be made.
        StoreError: If the store cannot be used or reached.
    """
    endpoints = _endpoints(settings, rule_set)
    url = store_url(settings, state_dir)
    if url is None:
        yield None
        return
    database = await Database.open(
        url, migrate=settings.store.migrate, metrics=StoreMetrics(metrics.registry)
    )
    try:
        store = SignalStore(database)
        deliverer = ActionDeliverer(
            ActionStore(database),
            endpoints,
            metrics=ActionMetrics(metrics.registry),
            policy=RetryPolicy(give_up_after_s=settings.actions.give_up_after_s),
            max_concurrent=settings.actions.max_concurrent,
        )
        keeper = SignalKeeper(
            store,
            limits=limits_of(settings),
            masking=settings.masking.policy(),
            metrics=metrics,
            on_kept=deliverer.wake,
        )
        retention = timedelta(days=settings.store.retention_days)
        stop_delivering = asyncio.Event()
        async with deliverer:
            upkeep = asyncio.create_task(
                _unending("upkeep", lambda: keep_up(store, retention=retention, metrics=metrics)),
                name="moodline-upkeep",
            )
            delivering = asyncio.create_task(
                _unending("delivering", lambda: deliverer.run(stop_delivering)),
                name="moodline-deliverer",
            )
            try:
                yield keeper
                await keeper.close(settings.server.grace_s)
            finally:
                upkeep.cancel()
                stop_delivering.set()
                await asyncio.wait((upkeep, delivering))
    finally:
        await database.close()


@asynccontextmanager
async def open_jobs(settings: Settings, *, metrics: Metrics) -> AsyncIterator[ScoringJobs | None]:
    """Open the scoring jobs of callers; on leaving, stop those that run.

    Args:
        settings: Of the process.
        metrics: Where counts go.

    Yields:
        None if no folder for them is set.

    Raises:
        SettingsError: If a folder cannot be used, or a package for the tables is missing.
    """
    jobs = settings.jobs
    if jobs.folder is None:
        yield None
        return
    limits = JobLimits(
        max_running_count=jobs.max_running,
        max_queued_count=jobs.max_queued,
        max_kept_count=jobs.max_kept,
        retention=timedelta(days=jobs.retention_days),
        max_inline_bytes=settings.server.max_message_bytes // 2,
    )
    async with open_scoring_jobs(
        jobs.folder,
        limits=limits,
        input_root=jobs.input_root,
        table_formats=jobs.table_formats,
        metrics=JobMetrics(metrics.registry),
    ) as opened:
        yield opened


async def _unending(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run work until it returns; begin anew should it fail, and call for somebody."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - calls go on without it
            _log.error("background_work_failed", work=name, exc_info=error)
            await asyncio.sleep(BACKGROUND_REST_S)
        else:
            return


def _endpoints(settings: Settings, rule_set: RuleSet) -> tuple[Endpoint, ...]:
    if settings.actions.endpoints_file is None:
        return ()
    endpoints = read_endpoints(settings.actions.endpoints_file)
    require_endpoints([compiled.rule for compiled in rule_set.rules], endpoints)
    return endpoints


@asynccontextmanager
async def open_analyzer(
    settings: Settings,
    *,
    artifact: Artifact,
    metrics: Metrics,
    on_fatal: Callable[[BaseException], None],
) -> AsyncIterator[ConversationAnalyzer]:
    """Build, warm and check an analyzer; on leaving, finish what was admitted and close.

    Args:
        settings: Of the process.
        artifact: A checked artifact.
        metrics: Where counts and durations go.
        on_fatal: Called if the batching loop dies.

    Raises:
        ArtifactError: If a golden conversation does not get its recorded result.
    """
    batching, admission = settings.batching, settings.admission
    threads = settings.engine.intra_op_threads or max(1, int(cpu_quota()))
    policy = batching.policy()
    with (
        ThreadPoolExecutor(1, thread_name_prefix="moodline-encoder") as engine_executor,
        ThreadPoolExecutor(1, thread_name_prefix="moodline-head") as head_executor,
    ):
        # In their thread: probes and early callers must get an answer meanwhile.
        encoder = await asyncio.get_running_loop().run_in_executor(
            engine_executor, lambda: _warm_encoder(artifact, policy, threads)
        )
        runner = BatchRunner(
            encoder,
            policy=policy,
            ledger=TokenLedger(
                admission.max_pending_tokens,
                live_reserved_tokens=admission.live_reserved_tokens,
                clock=time.monotonic,
            ),
            cache=EncodingCache(batching.max_cache_entries),
            metrics=metrics,
            executor=engine_executor,
            on_fatal=on_fatal,
        )
        analyzer = ConversationAnalyzer(
            artifact=artifact,
            turn_encoder=TurnEncoder(
                artifact.directory / TOKENIZER_FILE,
                window_tokens=artifact.manifest.encoder.window_tokens,
            ),
            runner=runner,
            head=OnnxConversationHead(artifact),
            language_detector=LanguageDetector(),
            executor=head_executor,
            metrics=metrics,
            limits=limits_of(settings),
        )
        await runner.start()
        try:
            await check_golden(analyzer)
            yield analyzer
            await runner.drain(settings.server.grace_s)
        finally:
            await runner.close()


def _warm_encoder(artifact: Artifact, policy: BatchPolicy, threads: int) -> OnnxEncoder:
    encoder = OnnxEncoder(artifact, intra_op_threads=threads)
    warm_up(encoder, policy, pad_id=artifact.manifest.encoder.pad_id)
    return encoder


async def check_golden(analyzer: ConversationAnalyzer) -> None:
    """Analyse the manifest's golden conversations and compare.

    Raises:
        ArtifactError: If a score differs by more than `GOLDEN_TOLERANCE`.
    """
    for golden in analyzer.artifact.manifest.golden:
        analysis = await analyzer.analyze(
            Conversation(
                golden.conversation_id,
                tuple(Turn(Role(turn.role), turn.text) for turn in golden.turns),
            )
        )
        for index, (turn, result) in enumerate(zip(golden.turns, analysis.turns, strict=True)):
            found = result.scores.sentiment.score if result.scores else None
            wanted = turn.sentiment_score
            if wanted is None and found is None:
                continue
            if wanted is None or found is None or abs(found - wanted) > GOLDEN_TOLERANCE:
                raise ArtifactError(
                    f"golden {golden.conversation_id}, turn {index}: sentiment {found}, recorded "
                    f"{wanted}; the model or this processor's kernels are not those of the export"
                )


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[ServerAddress], None] | None = None,
    state_dir: Path | None = None,
) -> None:
    """Serve until told to stop: check the artifact, open the port, warm up, serve, drain, close.

    The port opens before the engine is warm, so that probes learn that the process lives; calls
    are refused as UNAVAILABLE until then.

    Args:
        settings: Of the process.
        stop: Set it, e.g. on SIGTERM, to drain and return.
        on_ready: Called once, when calls are served.
        state_dir: Where signals are kept unless `store.url` says; None to keep none then.

    Raises:
        SettingsError: If the settings do not allow to serve.
        StoreError: If the store cannot be used or reached.
        ArtifactError: If the artifact is not what its manifest says.
        EngineDiedError: If the batching loop died; the process should exit non-zero.
    """
    require_serving(settings)
    artifact = await asyncio.to_thread(find_artifact, settings)
    rule_set = await asyncio.to_thread(find_rules, settings)
    metrics = Metrics(CollectorRegistry())
    metrics.model_info.info({"version": artifact.model_version, "digest": artifact.digest})
    ProcessCollector(registry=metrics.registry)
    engine_death: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    server = settings.server
    async with AsyncExitStack() as stack:
        tracing = None
        if settings.telemetry.otel:
            tracing = open_tracing(service_version=server_version())
            stack.push_async_callback(asyncio.to_thread, tracing.close)
        metrics_port = None
        if server.metrics_port is not None:
            metrics_port = stack.enter_context(
                serve_metrics(metrics.registry, host=server.host, port=server.metrics_port)
            )
        keeper = await stack.enter_async_context(
            open_keeper(settings, rule_set=rule_set, metrics=metrics, state_dir=state_dir)
        )
        jobs = await stack.enter_async_context(open_jobs(settings, metrics=metrics))
        rpc = await stack.enter_async_context(
            RpcServer(
                settings,
                limits=limits_of(settings),
                metrics=metrics,
                server_version=server_version(),
                signal_engine=signal_engine(rule_set, artifact),
                keeper=keeper,
                jobs=jobs,
                tracing=tracing,
            )
        )
        address = ServerAddress(server.host, rpc.port, metrics_port)
        _log.info("warming_up", host=address.host, port=address.port)
        analyzer = await stack.enter_async_context(
            open_analyzer(
                settings, artifact=artifact, metrics=metrics, on_fatal=engine_death.set_result
            )
        )
        await rpc.open(analyzer)
        _log.info(
            "serving",
            host=address.host,
            port=address.port,
            metrics_port=metrics_port,
            model_version=artifact.model_version,
            rule_set=rule_set.content.name,
            rule_set_digest=rule_set.digest,
        )
        if on_ready is not None:
            on_ready(address)
        stopping = asyncio.create_task(stop.wait(), name="moodline-stop")
        await asyncio.wait((stopping, engine_death), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if engine_death.done():
            await rpc.die()
            raise EngineDiedError(
                "The batching loop died, so nobody would be answered any more; restart the "
                "process, and report the log line batch_loop_died."
            )
        _log.info("draining", grace_s=server.grace_s)
        await rpc.drain()
    _log.info("stopped")
