"""The commands of `moodline`: arguments, environment, exit codes; the work is done elsewhere.

The environment is read here and nowhere else, but for the token (`connection`). Modules that take
long to import are imported by the command that needs them: a health check runs every few seconds.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from enum import StrEnum
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from moodline.cli.connection import tls_of, token_of
from moodline.cli.exit_codes import ExitCode, exit_codes
from moodline.cli.jobs import jobs_app
from moodline.cli.options import (
    DEFAULT_TIMEOUT_S,
    TLS_PANEL,
    TOKEN_VARIABLE,
    CaOption,
    CertificateOption,
    ColumnOption,
    CorrectRolesOption,
    EncodingOption,
    FromOption,
    KeyOption,
    OutputFormatOption,
    RoleOption,
    ServerNameOption,
    ServerOption,
    TenantOption,
    TimeoutOption,
    TlsOption,
    TokenFileOption,
    is_table,
)
from moodline.cli.signals import rules_app, signals_app
from moodline.jobs.result_format import ResultFormat

if TYPE_CHECKING:
    from moodline.analyzer import ConversationAnalyzer
    from moodline.cli.analysis import Sink
    from moodline.jobs.analyzing import ReadyModel
    from moodline.jobs.engines.engine import ScoringEngine
    from moodline.settings import Settings

_CLIENT_VARIABLES: Final = frozenset(
    {
        TOKEN_VARIABLE,
        "MOODLINE_CLIENT_CA",
        "MOODLINE_CLIENT_CERTIFICATE",
        "MOODLINE_CLIENT_KEY",
        "MOODLINE_CLIENT_SERVER_NAME",
    }
)
"""Variables of those who call a server; the others are settings."""
_DEMO_GROUPS: Final = ("MOODLINE_ENGINE__", "MOODLINE_BATCHING__")
_LOCAL_HOSTS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104


class EngineName(StrEnum):
    """Where transcripts are scored, if not by a server."""

    LOCAL = "local"
    RAY = "ray"


class ListedState(StrEnum):
    """Which actions `moodline actions list` shows."""

    DEAD = "dead"
    PENDING = "pending"
    DELIVERING = "delivering"
    DONE = "done"
    ALL = "all"


app = typer.Typer(
    help="Sentiment, journey stage, urgency and escalation for live customer conversations.",
    no_args_is_help=True,
    add_completion=False,
    # Frames would show local variables: conversations and tokens.
    pretty_exceptions_enable=False,
)

actions_app = typer.Typer(
    help="Routes, tasks, surveys and webhooks of the store: what is dead, what waits.",
    no_args_is_help=True,
)
app.add_typer(actions_app, name="actions")
app.add_typer(jobs_app, name="jobs")
app.add_typer(signals_app, name="signals")
app.add_typer(rules_app, name="rules")

_ActionTenant = Annotated[str | None, typer.Option(help="Those of this tenant alone.")]
_ActionKind = Annotated[str | None, typer.Option(help="Those of this kind alone.")]
_ActionTarget = Annotated[
    str | None, typer.Option(help="Those of this target alone; '' is the default target.")
]


def main() -> None:
    """Run the command line; the entry point of `moodline` and `python -m moodline`."""
    for stream in (sys.stdout, sys.stderr):
        # Conversations are in all scripts; the locale of a container often is not.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    app(prog_name="moodline")


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, before MOODLINE_SERVER__HOST.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, before MOODLINE_SERVER__PORT.")
    ] = None,
) -> None:
    """Serve gRPC until SIGTERM or SIGINT; logs go to standard error.

    Exits with 0 after draining, 1 if the engine died, 2 if settings or model are wrong.
    """
    from moodline.telemetry.logging import configure_logging

    with exit_codes():
        settings = _settings(host=host, port=port)
        configure_logging(
            level=settings.telemetry.log_level, log_format=settings.telemetry.log_format
        )
        asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from moodline.app import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def drain() -> None:
        stop.set()
        # A second signal ends the process at once.
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, drain)
    await serve(settings, stop=stop, state_dir=_state_dir())


@app.command()
def analyze(
    file: Annotated[str, typer.Argument(help="JSON lines, one conversation each; - for stdin.")],
    output_format: OutputFormatOption = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    tenant: TenantOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    tls: TlsOption = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
    tls_server_name: ServerNameOption = "",
) -> None:
    """Analyse conversations: one result each, in the order of the input.

    A line is {"conversation_id", "channel"?, "language"?, "customer_id"?, "attributes"?: {NAME:
    TEXT}, "turns": [{"role", "text", "turn_id"?, "participant_id"?, "start_ms"?, "end_ms"?}]}; role
    is customer, agent or bot. A line that is refused is told on standard error, by number and
    field, and the others go on.

    Exits with 0 if all was analysed, 1 if lines were refused, 2 if arguments, settings, model or
    file are wrong, 3 if the server cannot be reached or refuses the caller.
    """
    with exit_codes(), _open(file) as source:
        from moodline.cli.sinks import JsonSink, TableSink
        from moodline.jobs.analyzing import open_local, open_remote

        name = "stdin" if file == "-" else file
        sink = TableSink(name) if is_table(output_format) else JsonSink(name, sys.stdout.buffer)
        if server is None:
            opened = open_local(_settings())
        else:
            opened = open_remote(
                server,
                token=token_of(token_file),
                tenant=tenant,
                tls=tls_of(tls, tls_ca, tls_cert, tls_key, tls_server_name),
                timeout_s=timeout,
            )
        refused_count = asyncio.run(_analyze(source, opened, sink))
    if refused_count:
        typer.echo(f"{name}: lines refused: {refused_count}", err=True)
        raise typer.Exit(ExitCode.FAILED)


async def _analyze(
    source: FileIO, opened: AbstractAsyncContextManager[ReadyModel], sink: Sink
) -> int:
    from moodline.cli.analysis import analyze_lines
    from moodline.cli.conversation_lines import LineParser
    from moodline.limits import Limits
    from moodline.rpc.validation import RequestValidator

    async with opened as model:
        return await analyze_lines(
            source, parser=LineParser(RequestValidator(Limits())), analyze=model.analyze, sink=sink
        )


@app.command()
def score(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Files, folders, globs; - for standard input."),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="A file for jsonl, else a folder for files; must be new."),
    ],
    result_format: Annotated[
        ResultFormat,
        typer.Option("--to", help="How results are written; parquet needs moodline[batch]."),
    ] = ResultFormat.JSONL,
    format_name: FromOption = "",
    role: RoleOption = None,
    column: ColumnOption = None,
    encoding: EncodingOption = "utf-8",
    correct_roles: CorrectRolesOption = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run of the job ended.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Remove what is at OUT, a whole folder too, and begin anew."
        ),
    ] = False,
    part_size: Annotated[
        int, typer.Option(min=1, help="Conversations between two checkpoints.")
    ] = 200,
    engine: Annotated[
        EngineName, typer.Option("--engine", help="Processes of this machine, or of a Ray cluster.")
    ] = EngineName.LOCAL,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many work. Default: the processors that may be used here, or in Ray."
        ),
    ] = None,
    ray_address: Annotated[
        str,
        typer.Option(
            envvar="RAY_ADDRESS", metavar="ADDRESS", help="Of the cluster; else one is started."
        ),
    ] = "local",
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    tenant: TenantOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    tls: TlsOption = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
    tls_server_name: ServerNameOption = "",
) -> None:
    """Score many transcripts of any known format, into files.

    A conversation that cannot be read or scored is told and collected; the others go on. After a
    kill, --resume goes on with nothing lost or doubled.

    Exits with 0 if all was scored, 1 if some failed or the engine died, 2 if arguments, settings,
    model or output are wrong, 3 if the server cannot be reached or refuses the caller.
    """
    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other; give one")
    if server is not None and engine is EngineName.RAY:
        raise typer.BadParameter("--server and --engine ray exclude each other; give one")
    with exit_codes():
        from moodline.cli.reading import reading_of
        from moodline.cli.score import ScoreRequest
        from moodline.cli.score import score as run_score
        from moodline.jobs.engines.local import default_process_count, local_engine
        from moodline.jobs.engines.ray_cluster import ray_engine
        from moodline.jobs.engines.remote import server_engine
        from moodline.jobs.folder import StartMode
        from moodline.telemetry.logging import configure_logging

        configure_logging(level="WARNING")
        mode = StartMode.OVERWRITE if overwrite else StartMode.NEW
        request = ScoreRequest(
            inputs=tuple(inputs),
            out=out,
            result_format=result_format,
            reading=reading_of(
                format_name=format_name,
                roles=role,
                columns=column,
                encoding=encoding,
                are_roles_corrected=correct_roles,
                is_vcon_required=result_format is ResultFormat.VCON,
            ),
            mode=StartMode.RESUME if resume else mode,
            max_part_items=part_size,
        )

        def open_engine() -> AbstractContextManager[ScoringEngine]:
            if server is not None:
                return server_engine(
                    server,
                    token=token_of(token_file),
                    tenant=tenant,
                    tls=tls_of(tls, tls_ca, tls_cert, tls_key, tls_server_name),
                    timeout_s=timeout,
                )
            if engine is EngineName.RAY:
                return ray_engine(_settings(), address=ray_address, actor_count=processes)
            return local_engine(_settings(), process_count=processes or default_process_count())

        is_complete = run_score(request, open_engine)
    if not is_complete:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def report(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS", help="What `moodline score` wrote: files, folders."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The page, *.html; replaced if it is there.")
    ],
    title: Annotated[str, typer.Option(help="Of the page.")] = "Conversation report",
    top: Annotated[
        int, typer.Option(min=1, max=1000, help="Conversations and tags that lists hold.")
    ] = 10,
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="Only these; en stands for en-GB, too. Repeatable."),
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these. Repeatable.")
    ] = None,
) -> None:
    """Make one HTML page of results: mood, journey, urgency, pain points, best and worst.

    It needs no network and holds nothing that was said; it names conversations by their ids.

    Exits with 0, or 2 if arguments or results are wrong or something is missing.
    """
    with exit_codes():
        from moodline.cli.report import write_report
        from moodline.reports.report import ReportRequest

        request = ReportRequest(
            results=tuple(results),
            title=title,
            languages=tuple(language or ()),
            channels=tuple(channel or ()),
            max_listed=top,
        )
        typer.echo(write_report(request, out), err=True)


@app.command()
def probe(
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Default: as the settings say.")
    ] = None,
    service: Annotated[
        str,
        typer.Option(
            help="Whose health: empty for readiness of the whole server, `liveness`, or a service "
            "such as moodline.v1.AnalysisService."
        ),
    ] = "",
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds to wait.")] = 2.0,
    tls: Annotated[
        bool,
        typer.Option("--tls", help="Encrypt; implied by the settings.", rich_help_panel=TLS_PANEL),
    ] = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
    tls_server_name: ServerNameOption = "",
) -> None:
    """Ask a server for its health, as a container's health check.

    Without --server it asks the one that `moodline serve` would start with the same environment,
    and trusts the certificate of this one; give --tls-server-name the name in it.

    Exits with 0 if it is SERVING, else 1.
    """
    with exit_codes(no_server=ExitCode.FAILED):
        from moodline.client import check_health

        if server is None:
            settings = _settings()
            host = settings.server.host
            server = f"{_LOCAL_HOSTS.get(host, host)}:{settings.server.port}"
            tls_ca = tls_ca or settings.tls.certificate_file
        status = check_health(
            server,
            service=service,
            tls=tls_of(tls, tls_ca, tls_cert, tls_key, tls_server_name),
            timeout_s=timeout,
        )
        typer.echo(status)
    if status != "SERVING":
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def backtest(
    rules: Annotated[
        str, typer.Argument(metavar="RULES", help="The rules to try: a file, or default.")
    ],
    transcripts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TRANSCRIPT...]", help="Files, folders, globs; - for input."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="RULES",
            help="The rules in force: a file, or default. Default: MOODLINE_RULES__PATH.",
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep scored conversations here; if it is there, take them instead of "
            "transcripts. Holds what customers said.",
        ),
    ] = None,
    supervisors: Annotated[int, typer.Option(min=1, help="People who share the alerts.")] = 1,
    contacts_per_hour: Annotated[
        float | None,
        typer.Option(min=0.001, help="Of all agents. Default: by the contacts' durations."),
    ] = None,
    alerts_per_100: Annotated[
        float | None,
        typer.Option(
            "--alerts-per-100", min=0, help="Choose thresholds for so many alerts a 100 contacts."
        ),
    ] = None,
    patch: Annotated[
        Path | None, typer.Option(help="Write these thresholds as a patch of RULES.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all figures as JSON.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write a page with plots.")
    ] = None,
    format_name: FromOption = "",
    role: RoleOption = None,
    column: ColumnOption = None,
    encoding: EncodingOption = "utf-8",
    correct_roles: CorrectRolesOption = False,
) -> None:
    """Tell what rules would have raised on past conversations, beside the rules in force.

    The alerts are those that a live conversation would have had. Where conversations are labelled,
    tells how right they are and how early (docs/backtest.md).

    Exits with 0 if all was scored, 1 if some conversations failed, 2 if arguments, rules, settings,
    model or files are wrong.
    """
    if patch is not None and alerts_per_100 is None:
        raise typer.BadParameter("--patch needs --alerts-per-100; give both")
    with exit_codes():
        from prometheus_client import CollectorRegistry

        from moodline.app import find_artifact, find_rules, open_analyzer
        from moodline.backtest.figures import Staffing
        from moodline.cli.backtest import BacktestRequest, read_rules
        from moodline.cli.backtest import backtest as run_backtest
        from moodline.cli.reading import reading_of
        from moodline.cli.sinks import new_console
        from moodline.telemetry.logging import configure_logging
        from moodline.telemetry.metrics import Metrics

        configure_logging(level="WARNING")
        request = BacktestRequest(
            rules=rules,
            in_force=read_rules(against)[1] if against else find_rules(_settings()),
            inputs=tuple(transcripts or ()),
            reading=reading_of(
                format_name=format_name,
                roles=role,
                columns=column,
                encoding=encoding,
                are_roles_corrected=correct_roles,
            ),
            scores_file=scores,
            staffing=Staffing(supervisors, contacts_per_hour),
            alerts_per_100=alerts_per_100,
            patch_file=patch,
            json_file=json_file,
            html_file=html_file,
        )

        def open_model() -> AbstractAsyncContextManager[ConversationAnalyzer]:
            settings = _settings()
            return open_analyzer(
                settings,
                artifact=find_artifact(settings),
                metrics=Metrics(CollectorRegistry()),
                # A dead loop refuses everything from then on, which ends the run.
                on_fatal=lambda _error: None,
            )

        is_complete = run_backtest(request, open_model, new_console())
    if not is_complete:
        raise typer.Exit(ExitCode.FAILED)


@actions_app.command("list")
def list_actions(
    state: Annotated[ListedState, typer.Option(help="Where they stand.")] = ListedState.DEAD,
    tenant: _ActionTenant = None,
    kind: _ActionKind = None,
    target: _ActionTarget = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    output_format: OutputFormatOption = None,
) -> None:
    """List actions of MOODLINE_STORE__URL, those planned last first; dead ones unless you say.

    Exits with 0, or with 1 if the store cannot be used, 2 if settings are wrong.
    """
    with exit_codes():
        from moodline.cli.actions import draw, find_actions, write_json
        from moodline.store.actions import ActionFilter
        from moodline.store.tables import ActionState

        states = tuple(ActionState) if state is ListedState.ALL else (ActionState(state),)
        wanted = ActionFilter(tenant=tenant, kind=kind, target=target)
        found = asyncio.run(find_actions(_store_url(), wanted, states=states, limit=limit))
        if is_table(output_format):
            draw(found)
        else:
            write_json(found, sys.stdout)


@actions_app.command()
def replay(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY]...", help="Idempotency keys, as `list` shows them."),
    ] = None,
    replay_all: Annotated[
        bool, typer.Option("--all", help="All dead actions, or all that the options choose.")
    ] = False,
    tenant: _ActionTenant = None,
    kind: _ActionKind = None,
    target: _ActionTarget = None,
) -> None:
    """Make dead actions due again; a running server delivers them within seconds.

    They keep their keys, so a receiver that has done one already does nothing.

    Exits with 0, or with 1 if nothing was replayed or the store cannot be used, 2 if arguments or
    settings are wrong.
    """
    if bool(keys) is replay_all:
        raise typer.BadParameter("name KEYs, or say --all; not both")
    with exit_codes():
        from moodline.cli.actions import replay_actions
        from moodline.store.actions import ActionFilter

        wanted = ActionFilter(tenant=tenant, kind=kind, target=target, keys=keys or ())
        count = asyncio.run(replay_actions(_store_url(), wanted))
    typer.echo(f"replayed: {count}", err=True)
    if not count:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def config() -> None:
    """Print the settings in force as YAML.

    Exits with 2, naming every problem, if they are wrong.
    """
    with exit_codes():
        from moodline.settings import effective_settings_yaml

        typer.echo(effective_settings_yaml(_settings()), nl=False)


@app.command()
def check_model(
    directory: Annotated[
        Path | None, typer.Argument(help="Default: MOODLINE_ENGINE__MODEL_DIR or the bundled one.")
    ] = None,
) -> None:
    """Check a model: its files against their checksums, golden conversations against their scores.

    Exits with 0 and prints what the model is, or with 2 and what disagrees.
    """
    with exit_codes():
        from moodline.cli.model_check import check, describe_yaml
        from moodline.telemetry.logging import configure_logging

        configure_logging(level="WARNING")
        typer.echo(describe_yaml(asyncio.run(check(_settings(model_dir=directory)))), nl=False)


@app.command()
def demo(
    pace: Annotated[
        float, typer.Option(min=0, help="Seconds between two turns; none off a terminal.")
    ] = 0.4,
    keep_serving: Annotated[
        bool, typer.Option("--keep-serving", help="Leave the server running in the end.")
    ] = False,
) -> None:
    """Watch a real server read sample conversations live, in English, Turkish and Arabic."""
    with exit_codes():
        from moodline.cli.demo import Demo
        from moodline.cli.sinks import new_console
        from moodline.telemetry.logging import configure_logging

        configure_logging(level="WARNING")
        environ = {
            name: value for name, value in os.environ.items() if name.startswith(_DEMO_GROUPS)
        }
        show = Demo(new_console(), pace_s=pace, program=_program())
        asyncio.run(show.run(environ, keep_serving=keep_serving))


def _settings(
    *, host: str | None = None, port: int | None = None, model_dir: Path | None = None
) -> Settings:
    """Load the settings of the environment, with those that arguments replace."""
    from moodline.settings import load_settings

    environ = {name: value for name, value in os.environ.items() if name not in _CLIENT_VARIABLES}
    replaced = {
        "MOODLINE_SERVER__HOST": host,
        "MOODLINE_SERVER__PORT": port,
        "MOODLINE_ENGINE__MODEL_DIR": model_dir,
    }
    environ |= {name: str(value) for name, value in replaced.items() if value is not None}
    return load_settings(environ)


def _state_dir() -> Path:
    """Where signals are kept unless settings say. Source: XDG Base Directory Specification."""
    state_home = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state_home.is_absolute():
        state_home = Path(os.environ.get("HOME", "/")) / ".local" / "state"
    return state_home / "moodline"


def _store_url() -> str:
    """Return where the signals of the settings are kept.

    Raises:
        SettingsError: If they are kept nowhere.
    """
    from moodline.app import store_url
    from moodline.errors import SettingsError

    url = store_url(_settings(), _state_dir())
    if url is None:
        raise SettingsError("MOODLINE_STORE__URL is `none`, so there are no actions; name a store.")
    return url


def _open(file: str) -> FileIO:
    if file == "-":
        return FileIO(0, closefd=False)
    return FileIO(file)


def _program() -> str:
    """How this process was called, for commands to copy."""
    called = sys.argv[0]
    if Path(called).name == "__main__.py":
        return f"{Path(sys.executable).name} -m moodline"
    name = Path(called).name
    return name if shutil.which(name) == called else called
