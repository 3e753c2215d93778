"""The commands of `moodline`: arguments, environment, exit codes; the work is done elsewhere.

The environment is read here and nowhere else. Modules that take long to import are imported by the
command that needs them: a health check runs every few seconds.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from enum import IntEnum, StrEnum
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from moodline.jobs.result_format import ResultFormat

if TYPE_CHECKING:
    from moodline.cli.analysis import Sink
    from moodline.client import TlsOptions
    from moodline.jobs.analyzing import ReadyModel
    from moodline.jobs.engines.engine import ScoringEngine
    from moodline.settings import Settings

TOKEN_VARIABLE: Final = "MOODLINE_TOKEN"  # noqa: S105 - its name, not its value
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


class ExitCode(IntEnum):
    """What `moodline` says to the shell."""

    OK = 0
    FAILED = 1
    """Some conversations were refused, the server is not serving, or the engine died."""
    WRONG_USAGE = 2
    """Arguments, settings, the model or the input file; nothing was done."""
    NO_SERVER = 3
    """The server cannot be reached, or refuses the caller; what came before stands."""


class OutputFormat(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


app = typer.Typer(
    help="Sentiment, journey stage, urgency and escalation for live customer conversations.",
    no_args_is_help=True,
    add_completion=False,
    # Frames would show local variables: conversations and tokens.
    pretty_exceptions_enable=False,
)

_TLS_PANEL: Final = "Encryption"
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar="MOODLINE_CLIENT_CA",
        help="PEM of the authority of the server's certificate.",
        rich_help_panel=_TLS_PANEL,
    ),
]
CertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        envvar="MOODLINE_CLIENT_CERTIFICATE",
        help="PEM chain of your own certificate, for mutual TLS.",
        rich_help_panel=_TLS_PANEL,
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-key",
        envvar="MOODLINE_CLIENT_KEY",
        help="PEM private key of your own certificate.",
        rich_help_panel=_TLS_PANEL,
    ),
]
ServerNameOption = Annotated[
    str,
    typer.Option(
        "--tls-server-name",
        envvar="MOODLINE_CLIENT_SERVER_NAME",
        help="Name in the server's certificate, where it is not that of the address.",
        rich_help_panel=_TLS_PANEL,
    ),
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

    with _exit_codes():
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
    await serve(settings, stop=stop)


@app.command()
def analyze(
    file: Annotated[str, typer.Argument(help="JSON lines, one conversation each; - for stdin.")],
    output_format: Annotated[
        OutputFormat | None,
        typer.Option("--format", help="[default: table on a terminal, else json]"),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Analyse there instead of in this process."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the bearer token; else {TOKEN_VARIABLE} is used, if set."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant that the token must be of.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds that the server has for one conversation.")
    ] = 60.0,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt.", rich_help_panel=_TLS_PANEL)
    ] = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
    tls_server_name: ServerNameOption = "",
) -> None:
    """Analyse conversations: one result each, in the order of the input.

    A line is {"conversation_id", "channel"?, "language"?, "turns": [{"role", "text", "turn_id"?,
    "participant_id"?, "start_ms"?, "end_ms"?}]}; role is customer, agent or bot. A line that is
    refused is told on standard error, by number and field, and the others go on.

    Exits with 0 if all was analysed, 1 if lines were refused, 2 if arguments, settings, model or
    file are wrong, 3 if the server cannot be reached or refuses the caller.
    """
    with _exit_codes(), _open(file) as source:
        from moodline.cli.sinks import JsonSink, TableSink
        from moodline.jobs.analyzing import open_local, open_remote

        is_table = output_format is OutputFormat.TABLE or (
            output_format is None and sys.stdout.isatty()
        )
        name = "stdin" if file == "-" else file
        sink = TableSink(name) if is_table else JsonSink(name, sys.stdout.buffer)
        if server is None:
            opened = open_local(_settings())
        else:
            opened = open_remote(
                server,
                token=_token(token_file),
                tenant=tenant,
                tls=_tls(tls, tls_ca, tls_cert, tls_key, tls_server_name),
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
        typer.Argument(metavar="INPUT...", help="Files, folders, globs; - for standard input."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="A file for jsonl, else a folder; must be new.")
    ],
    result_format: Annotated[
        ResultFormat, typer.Option("--to", help="How results are written.")
    ] = ResultFormat.JSONL,
    format_name: Annotated[
        str,
        typer.Option("--from", metavar="FORMAT", help="Of all inputs. [default: by their content]"),
    ] = "",
    role: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ROLE", help="Role of a speaker, e.g. 'Speaker 0=agent'."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="THEIRS=OURS", help="Meaning of a column, e.g. 'Mesaj=text'."),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of text files.")] = "utf-8",
    correct_roles: Annotated[
        bool,
        typer.Option("--correct-roles", help="Score by the roles that the words speak for."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run of the job ended.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove what is at OUT, and begin anew.")
    ] = False,
    part_size: Annotated[
        int, typer.Option(min=1, help="Conversations between two checkpoints.")
    ] = 200,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="[default: the processors that may be used here]"),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Score there instead of on this machine."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the bearer token; else {TOKEN_VARIABLE} is used, if set."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant that the token must be of.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds that the server has for one conversation.")
    ] = 60.0,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt.", rich_help_panel=_TLS_PANEL)
    ] = False,
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
    with _exit_codes():
        from moodline.cli.score import ScoreRequest, reading_of
        from moodline.cli.score import score as run_score
        from moodline.jobs.engines.local import LocalProcesses, default_process_count
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
                roles=role or (),
                columns=column or (),
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
                    token=_token(token_file),
                    tenant=tenant,
                    tls=_tls(tls, tls_ca, tls_cert, tls_key, tls_server_name),
                    timeout_s=timeout,
                )
            return LocalProcesses(_settings(), process_count=processes or default_process_count())

        is_complete = run_score(request, open_engine)
    if not is_complete:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def probe(
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="[default: as the settings say]")
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
        typer.Option("--tls", help="Encrypt; implied by the settings.", rich_help_panel=_TLS_PANEL),
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
    with _exit_codes(no_server=ExitCode.FAILED):
        from moodline.client import check_health

        if server is None:
            settings = _settings()
            host = settings.server.host
            server = f"{_LOCAL_HOSTS.get(host, host)}:{settings.server.port}"
            tls_ca = tls_ca or settings.tls.certificate_file
        status = check_health(
            server,
            service=service,
            tls=_tls(tls, tls_ca, tls_cert, tls_key, tls_server_name),
            timeout_s=timeout,
        )
        typer.echo(status)
    if status != "SERVING":
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def config() -> None:
    """Print the settings in force as YAML.

    Exits with 2, naming every problem, if they are wrong.
    """
    with _exit_codes():
        from moodline.settings import effective_settings_yaml

        typer.echo(effective_settings_yaml(_settings()), nl=False)


@app.command()
def check_model(
    directory: Annotated[
        Path | None, typer.Argument(help="[default: MOODLINE_ENGINE__MODEL_DIR or the bundled one]")
    ] = None,
) -> None:
    """Check a model: its files against their checksums, golden conversations against their scores.

    Exits with 0 and prints what the model is, or with 2 and what disagrees.
    """
    with _exit_codes():
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
    with _exit_codes():
        from moodline.cli.demo import Demo
        from moodline.cli.sinks import new_console
        from moodline.telemetry.logging import configure_logging

        configure_logging(level="WARNING")
        environ = {
            name: value for name, value in os.environ.items() if name.startswith(_DEMO_GROUPS)
        }
        show = Demo(new_console(), pace_s=pace, program=_program())
        asyncio.run(show.run(environ, keep_serving=keep_serving))


@contextmanager
def _exit_codes(*, no_server: ExitCode = ExitCode.NO_SERVER) -> Iterator[None]:
    """Say what went wrong on standard error and leave with the code that tells it."""
    from moodline.client import MoodlineRpcError
    from moodline.errors import ArtifactError, MoodlineError, SettingsError
    from moodline.jobs.errors import JobError

    try:
        yield
    except BrokenPipeError:
        raise  # Whoever read our output has enough; typer leaves quietly.
    except (SettingsError, ArtifactError, JobError) as error:
        code, message = ExitCode.WRONG_USAGE, str(error)
    except OSError as error:
        code, message = ExitCode.WRONG_USAGE, f"{error.filename or 'input'}: {error.strerror}"
    except MoodlineRpcError as error:
        code, message = no_server, str(error)
    except MoodlineError as error:
        code, message = ExitCode.FAILED, f"{error.reason}: {error}"
    else:
        return
    typer.echo(f"moodline: {message}", err=True)
    raise typer.Exit(code)


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


def _token(token_file: Path | None) -> str | None:
    if token_file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    return token_file.read_text("utf-8").strip()


def _tls(
    is_wanted: bool, ca: Path | None, certificate: Path | None, key: Path | None, server_name: str
) -> TlsOptions | None:
    """Return how to encrypt; naming any file or name of TLS asks for it."""
    from moodline.client import TlsOptions

    if not (is_wanted or ca or certificate or key or server_name):
        return None
    try:
        return TlsOptions(ca, certificate, key, server_name)
    except ValueError:
        raise typer.BadParameter("--tls-cert and --tls-key belong together; give both") from None


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
