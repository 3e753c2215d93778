"""The gRPC side of the process: services, port, and the order of start and stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

import grpc
import structlog
from grpc_health.v1 import health_pb2

from moodline.analyzer import ConversationAnalyzer
from moodline.errors import SettingsError
from moodline.jobs.model import ModelIdentity
from moodline.jobs.served.scoring_jobs import ScoringJobs
from moodline.keeping.keeper import SignalKeeper
from moodline.limits import Limits
from moodline.rpc.analysis_servicer import AnalysisServicer
from moodline.rpc.auth import Authenticator, OpenAuthenticator, Scope, TokenAuthenticator
from moodline.rpc.gate import CallGate
from moodline.rpc.health import Health
from moodline.rpc.interceptor import CallInterceptor
from moodline.rpc.reflection import add_reflection
from moodline.rpc.scoring_job_servicer import ScoringJobServicer
from moodline.rpc.signal_servicer import HEARTBEAT_S, SignalServicer
from moodline.settings import AuthSettings, ServerSettings, Settings, TlsSettings
from moodline.signals.engine import SignalEngine
from moodline.telemetry.metrics import Metrics
from moodline.telemetry.tracing import Tracing
from moodline.v1 import analysis_service_pb2, scoring_job_service_pb2, signal_service_pb2
from moodline.v1.analysis_service_pb2_grpc import add_AnalysisServiceServicer_to_server
from moodline.v1.scoring_job_service_pb2_grpc import add_ScoringJobServiceServicer_to_server
from moodline.v1.signal_service_pb2_grpc import add_SignalServiceServicer_to_server

KEEPALIVE_S: Final = 60
"""A connection that is quiet for so long is asked whether it still is; a client that vanished
without a word would else hold its stream open for ever."""
KEEPALIVE_TIMEOUT_S: Final = 20
"""How long the answer may take."""
MIN_CLIENT_PING_S: Final = 10
"""How often clients may ask in turn; idle live streams behind balancers need to."""
FAREWELL_S: Final = 1.0
"""How long answers that are on their way may take to leave when the server stops."""

_SERVICES: Final = (
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
    signal_service_pb2.DESCRIPTOR.services_by_name["SignalService"],
    scoring_job_service_pb2.DESCRIPTOR.services_by_name["ScoringJobService"],
)
_SCOPES: Final = dict(
    zip(
        (service.full_name for service in _SERVICES),
        (Scope.ANALYSIS, Scope.SIGNALS, Scope.JOBS),
        strict=True,
    )
)
_RETRYABLE: Final = (grpc.StatusCode.UNAVAILABLE.name, grpc.StatusCode.RESOURCE_EXHAUSTED.name)

_log = structlog.get_logger(__name__)


class RpcServer:
    """Serves an analyzer, and the signals of its conversations, over gRPC.

    Use it as a context manager: inside, the port is open and health says NOT_SERVING until `open`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        limits: Limits,
        metrics: Metrics,
        server_version: str,
        signal_engine: SignalEngine,
        keeper: SignalKeeper | None = None,
        jobs: ScoringJobs | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        tracing: Tracing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build everything; nothing is opened yet.

        Args:
            settings: Of the process.
            limits: What a request may carry.
            metrics: Where durations and counts go.
            server_version: Of moodline.
            signal_engine: The rules in force.
            keeper: Keeps signals; None to tell them in streams alone.
            jobs: Scoring jobs, which run while calls are served; None to take none.
            heartbeat_s: How long a watch of signals may be silent, in seconds.
            tracing: Where spans go, if calls are traced.
            clock: Monotonic time in seconds, the analyzer's.

        Raises:
            SettingsError: If the tokens file cannot be used.
        """
        self._settings = settings
        self._rule_set_digest = signal_engine.rule_set.digest
        self._gate = CallGate()
        self._health = Health(tuple(_SCOPES))
        calls = CallInterceptor(
            scopes=_SCOPES,
            authenticator=_authenticator(settings.auth),
            gate=self._gate,
            metrics=metrics,
            clock=clock,
        )
        tracers = [] if tracing is None else [tracing.server_interceptor]
        self._server = new_server(settings.server, [*tracers, calls])
        self._analysis = AnalysisServicer(
            gate=self._gate,
            limits=limits,
            server_version=server_version,
            default_deadline_s=settings.admission.default_deadline_s,
            signal_engine=signal_engine,
            metrics=metrics,
            keeper=keeper,
            retryable_codes={
                f"{service.full_name}/{method.name}": _RETRYABLE
                for service in _SERVICES
                for method in service.methods
            },
            clock=clock,
        )
        self._signals = SignalServicer(
            gate=self._gate,
            limits=limits,
            keeper=keeper,
            rule_set=signal_engine.rule_set,
            metrics=metrics,
            heartbeat_s=heartbeat_s,
            default_deadline_s=settings.admission.default_deadline_s,
            clock=clock,
        )
        self._jobs = jobs
        self._scoring_jobs = ScoringJobServicer(jobs=jobs, limits=limits)
        self.port = 0

    async def __aenter__(self) -> Self:
        """Open the port.

        Raises:
            SettingsError: If the address is not free, or a file of TLS cannot be used.
        """
        await self._health.start(self._server)
        add_AnalysisServiceServicer_to_server(self._analysis, self._server)
        add_SignalServiceServicer_to_server(self._signals, self._server)
        add_ScoringJobServiceServicer_to_server(self._scoring_jobs, self._server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        add_reflection(self._server, [*_SCOPES, health_name])
        self.port = open_port(self._server, self._settings)
        await self._server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the port; calls that are still open end."""
        await self._server.stop(FAREWELL_S)

    async def open(self, analyzer: ConversationAnalyzer) -> None:
        """Serve calls from now on, with a warm analyzer."""
        self._gate.open(analyzer)
        await self._health.set_ready(True)
        if self._jobs is not None:
            artifact = analyzer.artifact
            self._jobs.start(
                self._analysis.analyze_in_job,
                ModelIdentity(artifact.model_version, artifact.digest, self._rule_set_digest),
            )

    async def drain(self) -> None:
        """Say NOT_SERVING, refuse new calls, let open ones finish within the grace, then stop."""
        await self._health.set_ready(False)
        if self._jobs is not None:
            # At once, so that all there is to compute is for the calls that are open.
            await self._jobs.stop()
        ended_count = await self._gate.drain(self._settings.server.grace_s, farewell_s=FAREWELL_S)
        if ended_count:
            _log.warning(
                "grace_expired", ended_count=ended_count, grace_s=self._settings.server.grace_s
            )
        await self._server.stop(FAREWELL_S)

    async def die(self) -> None:
        """Say that only a restart helps, and stop; the calls have been told by the engine."""
        await self._health.set_dead()
        await self._server.stop(FAREWELL_S)


def _authenticator(settings: AuthSettings) -> Authenticator:
    if settings.mode == "none" or settings.tokens_file is None:
        return OpenAuthenticator()
    return TokenAuthenticator(settings.tokens_file)


def new_server(
    settings: ServerSettings, interceptors: Sequence[grpc.aio.ServerInterceptor]
) -> grpc.aio.Server:
    """Return a server without services and ports.

    gRPC refuses a message over `max_message_bytes` by itself, with RESOURCE_EXHAUSTED and no
    details. The number of calls is not limited here: that would refuse health checks, too.
    """
    return grpc.aio.server(
        interceptors=interceptors,
        options=(
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
            ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_CLIENT_PING_S * 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Two processes on one port would share its calls unnoticed.
            ("grpc.so_reuseport", 0),
        ),
    )


def open_port(server: grpc.aio.Server, settings: Settings) -> int:
    """Let a server listen where the settings say, and return the port.

    Raises:
        SettingsError: If the address is not free, or a file of TLS cannot be used.
    """
    host, port = settings.server.host, settings.server.port
    address = f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"
    credentials = _credentials(settings.tls)
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        remedy = (
            "is the port taken, or the host none of this machine?"
            if credentials is None
            else "is the port taken, the host none of this machine, or do certificate and key not "
            "belong together?"
        )
        raise SettingsError(
            f"cannot listen on {address}: {remedy} See MOODLINE_SERVER__HOST and "
            "MOODLINE_SERVER__PORT."
        ) from error


def _credentials(tls: TlsSettings) -> grpc.ServerCredentials | None:
    if tls.certificate_file is None or tls.private_key_file is None:
        return None
    pair = (
        _read("PRIVATE_KEY_FILE", tls.private_key_file),
        _read("CERTIFICATE_FILE", tls.certificate_file),
    )
    if tls.client_ca_file is None:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials(
        [pair],
        root_certificates=_read("CLIENT_CA_FILE", tls.client_ca_file),
        require_client_auth=True,
    )


def _read(name: str, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"MOODLINE_TLS__{name}: {path}: {error.strerror}; name a readable PEM file."
        ) from error
    if b"-----BEGIN" not in content:
        raise SettingsError(f"MOODLINE_TLS__{name}: {path}: not in PEM; convert it.")
    return content
