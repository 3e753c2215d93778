"""Settings of the process: frozen, in groups, checked once against each other.

`load_settings` takes the environment as an argument; only the CLI reads the real one.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from moodline.batching.planner import BatchPolicy
from moodline.errors import SettingsError
from moodline.limits import Limits
from moodline.masking.policy import (
    DEFAULT_PHONE_REGIONS,
    ID_COUNTRIES,
    Kind,
    MaskingPolicy,
)
from moodline.telemetry.logging import LogFormat

PREFIX: Final = "MOODLINE_"
_DELIMITER: Final = "__"
_LIMITS: Final = Limits()
_POLICY: Final = BatchPolicy()

_SERVICE_LINK: Final = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PORT|PROTO|ADDR))?)"
)
"""Variables that Kubernetes sets in every pod for a service whose name begins with `moodline`.
Source: Kubernetes, "Discovering services", environment variables."""
_LINK_URL: Final = re.compile(r"(tcp|udp|sctp)://")


def _split_commas(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(_Group):
    """Where and how the gRPC server listens."""

    host: str = Field(
        default="127.0.0.1",
        description=(
            "Address to listen on. Set 0.0.0.0 or :: to be reachable from other machines; then "
            "tokens (auth.mode) and TLS become necessary."
        ),
    )
    port: int = Field(
        default=50051,
        ge=0,
        le=65535,
        description="Port of the gRPC server; 0 lets the system choose, which suits tests.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description=(
            "Port of the Prometheus endpoint, on the same host; not served unless set. It needs "
            "no token, so keep it inside the cluster."
        ),
    )
    grace_s: float = Field(
        default=20.0,
        ge=0,
        description=(
            "Seconds that open calls get to finish after SIGTERM. Raise it for long streams, and "
            "with it the orchestrator's own grace period; deployments then take longer."
        ),
    )
    max_message_bytes: int = Field(
        default=_LIMITS.max_message_bytes,
        ge=4096,
        description=(
            "Largest gRPC message, in bytes, in either direction. Raise it for bigger batches in "
            "one call; each call may then hold that much memory before it is admitted."
        ),
    )
    max_concurrent_streams: int = Field(
        default=1000,
        ge=1,
        description=(
            "Calls that one HTTP/2 connection may have open at a time; more wait at the client. "
            "Raise it if one gateway carries more live conversations; each costs some memory."
        ),
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


class AuthSettings(_Group):
    """Who may call."""

    mode: Literal["token", "none"] = Field(
        default="token",
        description=(
            "`token` demands a bearer token of `tokens_file` with every call. `none` lets "
            "everybody in as one tenant: for a developer's own machine."
        ),
    )
    tokens_file: Path | None = Field(
        default=None,
        description=(
            "YAML file with the SHA-256, tenant, scopes and expiry of each token. Required to "
            "serve with mode `token`."
        ),
    )
    allow_unauthenticated: bool = Field(
        default=False,
        description=(
            "Permits mode `none` on an address that other machines can reach. Set it only where "
            "something in front of moodline checks callers; otherwise anybody may read results."
        ),
    )


class TlsSettings(_Group):
    """Encryption, and certificates of clients."""

    certificate_file: Path | None = Field(
        default=None,
        description=(
            "PEM chain of the server's certificate. Set it, with its key, unless a proxy ends "
            "TLS; tokens travel in the clear without it. Costs a handshake per connection."
        ),
    )
    private_key_file: Path | None = Field(
        default=None, description="PEM private key of the certificate; set both or neither."
    )
    client_ca_file: Path | None = Field(
        default=None,
        description=(
            "PEM of the authority that signs clients' certificates. Set it for mutual TLS; "
            "clients without a certificate of it are then refused."
        ),
    )


class AdmissionSettings(_Group):
    """How much work may be pending."""

    max_pending_tokens: int = Field(
        default=524_288,
        ge=1,
        description=(
            "Tokens that may be tokenized, waiting or computed at a time; more is shed with "
            "RESOURCE_EXHAUSTED. Bounds the largest conversation, too. Raise it to absorb longer "
            "bursts of batch work; requests then wait longer instead of being shed early."
        ),
    )
    live_reserved_tokens: int = Field(
        default=32_768,
        ge=0,
        description=(
            "Part of max_pending_tokens that only live streams may use. Raise it if live turns "
            "are shed while batch jobs run; batch jobs are then shed earlier."
        ),
    )
    default_deadline_s: float = Field(
        default=60.0,
        gt=0,
        description=(
            "Deadline of a unary call that brings none, in seconds. Raise it if long "
            "conversations run out of time under load; work of callers that gave up silently "
            "is then computed for longer."
        ),
    )


class BatchingSettings(_Group):
    """How windows of all callers share engine calls; see docs/batching.md."""

    max_batch_tokens: int = Field(
        default=_POLICY.max_batch_tokens,
        ge=1,
        description=(
            "Largest rows x padded length of an engine call. Raise it for more throughput on "
            "many cores; a live turn may then wait longer for the call in flight."
        ),
    )
    max_batch_rows: int = Field(
        default=_POLICY.max_batch_rows,
        ge=1,
        description=(
            "Most rows of an engine call. Raise it together with max_batch_tokens if batches of "
            "short turns are always full; the cost is the same waiting time."
        ),
    )
    buckets: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_split_commas)] = Field(
        default=_POLICY.buckets,
        description=(
            "Padded lengths in tokens, ascending, e.g. `16,32,64,128`; the last must hold the "
            "model's window. More of them waste less padding but split batches, and each is "
            "warmed at start."
        ),
    )
    bulk_every_batches: int = Field(
        default=_POLICY.bulk_every_batches,
        ge=2,
        description=(
            "While live turns and batch work both wait, one engine call in this many is for "
            "batch work. Raise it for steadier live latency; batch jobs then take longer."
        ),
    )
    max_queue_delay_ms: float = Field(
        default=0.0,
        ge=0,
        description=(
            "How long a batch that is not full waits for company, in milliseconds. Raise it only "
            "if the fill of batches limits throughput; every turn of an idle service then takes "
            "that much longer."
        ),
    )
    max_cache_entries: int = Field(
        default=4096,
        ge=0,
        description=(
            "Repeated short turns whose encoding is kept; 0 keeps none. Raise it if "
            "moodline_cache_lookups_total shows many misses of turns that repeat; each costs up "
            "to 3 KB of memory."
        ),
    )

    def policy(self) -> BatchPolicy:
        """Return the planner's rules that these settings describe.

        Raises:
            ValueError: If the values contradict each other.
        """
        return BatchPolicy(
            max_batch_tokens=self.max_batch_tokens,
            max_batch_rows=self.max_batch_rows,
            buckets=self.buckets,
            bulk_every_batches=self.bulk_every_batches,
            max_queue_delay_s=self.max_queue_delay_ms / 1000,
        )


class EngineSettings(_Group):
    """The model and its threads."""

    model_dir: Path | None = Field(
        default=None,
        description=(
            "Directory of the model artifact; unset serves the bundled one. Another model "
            "changes scores, speed and memory."
        ),
    )
    intra_op_threads: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Threads of one engine call; unset follows the container's CPU quota. Raise it only "
            "where the quota is not visible; more threads than processors slow each other down."
        ),
    )


class TelemetrySettings(_Group):
    """Logs and traces."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description=(
            "Lowest level that is logged. INFO is one line per call; raise it to WARNING to log "
            "only what somebody should look at, and lose the line of each call."
        ),
    )
    log_format: LogFormat = Field(
        default="auto",
        description=(
            "`json` for machines, `console` for people, `auto` by whether standard error is a "
            "terminal."
        ),
    )
    otel: bool = Field(
        default=False,
        description=(
            "Export an OpenTelemetry trace of each call. Needs `moodline[otel]`, and follows "
            "OTEL_EXPORTER_OTLP_ENDPOINT and its kin; costs some tens of microseconds per call."
        ),
    )


class RulesSettings(_Group):
    """What signals are raised by; see docs/rules.md."""

    path: Path | None = Field(
        default=None,
        description=(
            "YAML file of the rules in force; unset for those that come with moodline. "
            "`moodline rules check FILE` tells what is wrong with one. Read at start."
        ),
    )


class StoreSettings(_Group):
    """Where signals are kept; see docs/store.md."""

    url: SecretStr | None = Field(
        default=None,
        description=(
            "`sqlite:///FILE` for one replica, `postgresql://USER:PASSWORD@HOST:PORT/DATABASE` for "
            "several, or `none` to tell signals in results alone. Unset, `moodline serve` keeps "
            "them in moodline/moodline.db of the user's state folder ($XDG_STATE_HOME, else "
            "~/.local/state)."
        ),
    )
    migrate: bool = Field(
        default=True,
        description=(
            "Bring an older database up to date at start. Set it to false where only a deployment "
            "step may; the server then refuses to start on an older one."
        ),
    )
    retention_days: int = Field(
        default=90,
        ge=1,
        description=(
            "Days after which ended signals, and contacts without signals, are deleted. Raise it "
            "for longer feedback and pasts of customers; it is personal data, so no longer than "
            "needed."
        ),
    )


class ActionSettings(_Group):
    """What is done by itself when a signal is raised; see docs/actions.md."""

    endpoints_file: Path | None = Field(
        default=None,
        description=(
            "YAML file with the URL and the signing secrets of who takes routes, tasks, surveys "
            "and webhooks. Unset, actions are noted as done and go to nobody; signals are told "
            "all the same. It holds secrets: keep it readable for moodline alone."
        ),
    )
    max_concurrent: int = Field(
        default=8,
        ge=1,
        le=100,
        description=(
            "Requests at a time to each endpoint. Raise it if moodline_actions_pending grows "
            "while the receiver answers slowly; the receiver then gets that many more at once."
        ),
    )
    give_up_after_s: float = Field(
        default=259_200.0,
        ge=60,
        description=(
            "Age in seconds at which an action that still fails is dead; three days unless set. "
            "Raise it for receivers that may be down for longer. Dead actions can be replayed."
        ),
    )


class MaskingSettings(_Group):
    """Personal data in what is stored or sent on; see docs/personal-data.md."""

    kinds: Annotated[tuple[Kind, ...], NoDecode, BeforeValidator(_split_commas)] = Field(
        default=tuple(Kind),
        description=(
            "Kinds that become placeholders such as [CARD]. Leave one out if it hides what your "
            "people need; it is then stored and sent as customers wrote it."
        ),
    )
    phone_regions: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)] = Field(
        default=DEFAULT_PHONE_REGIONS,
        description=(
            "Countries whose phone numbers are known without +90 and the like, as two capital "
            "letters. Add where your customers live; each more costs time and takes some other "
            "numbers for phones."
        ),
    )
    id_countries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)] = Field(
        default=ID_COUNTRIES,
        description=(
            "Countries whose national ids are known. Leave out where you have no customers; "
            "fewer other numbers are then taken for ids."
        ),
    )

    def policy(self) -> MaskingPolicy:
        """Return what these settings describe.

        Raises:
            ValueError: If a country is not known.
        """
        return MaskingPolicy(frozenset(self.kinds), self.phone_regions, self.id_countries)


class JobsSettings(_Group):
    """Scoring jobs of callers (ScoringJobService); see docs/jobs.md."""

    folder: Path | None = Field(
        default=None,
        description=(
            "Folder of the jobs and their results, on a disk that outlives the process; made if "
            "it is missing. Unset, the server takes no jobs. Each server needs one of its own. "
            "It holds the words of evidence that results quote: keep it readable for moodline "
            "alone."
        ),
    )
    input_root: Path | None = Field(
        default=None,
        description=(
            "Folder that holds a folder for each tenant (`default` without tokens), below which "
            "its callers may name files to score. Unset, conversations come with the request "
            "alone."
        ),
    )
    table_formats: Annotated[
        tuple[Literal["csv", "parquet"], ...], NoDecode, BeforeValidator(_split_commas)
    ] = Field(
        default=(),
        description=(
            "Tables that are written beside the lines of results, e.g. `csv,parquet`. Parquet "
            "needs `moodline[batch]`. CSV takes two fifths of the disk space of the results."
        ),
    )
    max_running: int = Field(
        default=1,
        ge=1,
        le=16,
        description=(
            "Jobs that run at a time. One fills the engine; raise it so that short jobs need "
            "not wait for long ones, which then take longer."
        ),
    )
    max_queued: int = Field(
        default=100,
        ge=1,
        description=(
            "Jobs that wait; more are refused with RESOURCE_EXHAUSTED. Raise it for callers who "
            "create many at once; each costs up to half of server.max_message_bytes of disk."
        ),
    )
    max_kept: int = Field(
        default=1000,
        ge=1,
        description=(
            "Jobs that are kept, of all states; the oldest that have ended go first. Raise it "
            "to read results for longer; they take disk space, and a few KB of memory each."
        ),
    )
    retention_days: float = Field(
        default=7.0,
        gt=0,
        description=(
            "Days that a job is kept once it has ended, with its results. Raise it if results "
            "are read late; they quote customers, so keep them no longer than you may."
        ),
    )


class Settings(BaseSettings):
    """All settings; build them with `load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=_DELIMITER,
        case_sensitive=False,
    )

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    tls: TlsSettings = TlsSettings()
    admission: AdmissionSettings = AdmissionSettings()
    batching: BatchingSettings = BatchingSettings()
    engine: EngineSettings = EngineSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    rules: RulesSettings = RulesSettings()
    store: StoreSettings = StoreSettings()
    actions: ActionSettings = ActionSettings()
    masking: MaskingSettings = MaskingSettings()
    jobs: JobsSettings = JobsSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments alone; the environment is one of them, given to `load_settings`."""
        return (init_settings,)

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        problems = [
            *_auth_problems(self),
            *_tls_problems(self),
            *_capacity_problems(self),
            *_masking_problems(self),
            *_jobs_problems(self),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Build the settings from `MOODLINE_` variables.

    Args:
        environ: Names and values, e.g. `os.environ`; other variables are ignored.

    Raises:
        SettingsError: If a variable is unknown or malformed, or two contradict each other. All
            problems are named together, each with the variable, the expected shape and the remedy.
    """
    own = {name: value for name, value in environ.items() if _is_ours(name, value)}
    known = _variables()
    unknown = [_unknown_problem(name, known) for name in sorted(own) if name not in known]
    empty = [
        f"{name} is empty; give it a value, or unset it for the default."
        for name in sorted(own.keys() & known)
        if not own[name].strip()
    ]
    if unknown or empty:
        raise SettingsError("\n".join(unknown + empty))
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in own.items()}
    try:
        return Settings(**source())
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors(include_url=False)]
        # The cause quotes values, of which some may be secret.
        raise SettingsError("\n".join(problems)) from None


def require_serving(settings: Settings) -> None:
    """Check what only a server needs, so that local commands work without it.

    Raises:
        SettingsError: If tokens are demanded but no file names them.
    """
    if settings.auth.mode == "token" and settings.auth.tokens_file is None:
        raise SettingsError(
            f"{_name('auth', 'tokens_file')} is not set, but auth.mode is `token`: name a YAML "
            f"file of tokens, or set {_name('auth', 'mode')}=none on a loopback address."
        )


def effective_settings_yaml(settings: Settings) -> str:
    """Return the values in force as YAML, one group after another; secrets show as stars."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _auth_problems(settings: Settings) -> list[str]:
    auth, server = settings.auth, settings.server
    problems = []
    if auth.mode == "none" and auth.tokens_file is not None:
        problems.append(
            f"{_name('auth', 'tokens_file')} is set but {_name('auth', 'mode')} is `none`, so "
            "nobody would read it: set the mode to `token` or drop the file."
        )
    if auth.mode == "none" and not server.is_loopback and not auth.allow_unauthenticated:
        problems.append(
            f"{_name('auth', 'mode')} is `none` while {_name('server', 'host')} is "
            f"{server.host!r}, which other machines can reach: use tokens, listen on 127.0.0.1, "
            f"or set {_name('auth', 'allow_unauthenticated')}=true."
        )
    return problems


def _tls_problems(settings: Settings) -> list[str]:
    tls = settings.tls
    problems = []
    if (tls.certificate_file is None) != (tls.private_key_file is None):
        problems.append(
            f"{_name('tls', 'certificate_file')} and {_name('tls', 'private_key_file')} belong "
            "together: set both or neither."
        )
    if tls.client_ca_file is not None and tls.certificate_file is None:
        problems.append(
            f"{_name('tls', 'client_ca_file')} asks clients for certificates, which needs "
            f"{_name('tls', 'certificate_file')} and {_name('tls', 'private_key_file')}."
        )
    return problems


def _capacity_problems(settings: Settings) -> list[str]:
    admission, batching, server = settings.admission, settings.batching, settings.server
    problems = []
    try:
        batching.policy()
    except ValueError as error:
        problems.append(f"{_name('batching')}{_DELIMITER}*: {error}")
    if admission.live_reserved_tokens >= admission.max_pending_tokens:
        problems.append(
            f"{_name('admission', 'live_reserved_tokens')} ({admission.live_reserved_tokens}) "
            f"must be below {_name('admission', 'max_pending_tokens')} "
            f"({admission.max_pending_tokens}), or batch work could never run."
        )
    if batching.max_batch_tokens > admission.max_pending_tokens:
        problems.append(
            f"{_name('batching', 'max_batch_tokens')} ({batching.max_batch_tokens}) exceeds "
            f"{_name('admission', 'max_pending_tokens')} ({admission.max_pending_tokens}); no "
            "batch could ever be full."
        )
    if batching.max_queue_delay_ms / 1000 >= admission.default_deadline_s:
        problems.append(
            f"{_name('batching', 'max_queue_delay_ms')} ({batching.max_queue_delay_ms} ms) must "
            f"be shorter than {_name('admission', 'default_deadline_s')} "
            f"({admission.default_deadline_s} s)."
        )
    if server.metrics_port and server.metrics_port == server.port:
        problems.append(
            f"{_name('server', 'metrics_port')} and {_name('server', 'port')} are both "
            f"{server.port}; choose another port for one."
        )
    return problems


def _masking_problems(settings: Settings) -> list[str]:
    try:
        settings.masking.policy()
    except ValueError as error:
        return [f"{_name('masking')}{_DELIMITER}*: {error}"]
    return []


def _jobs_problems(settings: Settings) -> list[str]:
    jobs = settings.jobs
    unfinished_count = jobs.max_queued + jobs.max_running
    if jobs.max_kept > unfinished_count:
        return []
    problem = (
        f"{_name('jobs', 'max_kept')} ({jobs.max_kept}) must be above "
        f"{_name('jobs', 'max_queued')} and {_name('jobs', 'max_running')} together "
        f"({unfinished_count}), or the results of a job could not be kept."
    )
    return [problem]


def _name(*path: str) -> str:
    return PREFIX + _DELIMITER.join(path).upper()


def _variables() -> set[str]:
    """Return the name of every variable that is understood."""
    names: set[str] = set()
    for group_name, group in Settings.model_fields.items():
        assert isinstance(group.annotation, type)
        assert issubclass(group.annotation, _Group)
        names.update(_name(group_name, field_name) for field_name in group.annotation.model_fields)
    return names


def _is_ours(name: str, value: str) -> bool:
    """Return whether a variable claims to be a setting, in whatever case."""
    if not name.upper().startswith(PREFIX):
        return False
    rest = name[len(PREFIX) :]
    is_link = _SERVICE_LINK.fullmatch(rest) or (rest.endswith("PORT") and _LINK_URL.match(value))
    return not is_link


def _unknown_problem(name: str, known: set[str]) -> str:
    """Name an unknown variable and the likeliest meant; never its value, which may be secret."""
    near = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.8)
    remedy = f"did you mean {near[0]}?" if near else "`moodline config` lists those that exist."
    return f"{name} is not a setting; {remedy}"


def _problem(detail: ErrorDetails) -> str:
    """Say what is wrong with one variable, or with several together."""
    path = [str(part) for part in detail["loc"][:2]]
    if not path:
        return str(detail["ctx"]["error"])
    shape = _description(path)
    got = "" if path[0] in {"auth", "tls", "store"} else f" (it is {_shown(detail['input'])})"
    return f"{_name(*path)}: {detail['msg']}{got}. {shape}"


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _description(path: list[str]) -> str:
    group = Settings.model_fields[path[0]].annotation
    assert isinstance(group, type)
    assert issubclass(group, _Group)
    return group.model_fields[path[1]].description or ""
