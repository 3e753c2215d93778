"""`moodline jobs`: scoring jobs of a running server."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moodline.cli.connection import connection_options, echo
from moodline.cli.exit_codes import ExitCode
from moodline.cli.options import CorrectRolesOption

if TYPE_CHECKING:
    from moodline.client import Conversation, MoodlineClient
    from moodline.v1.scoring_job_pb2 import ScoringJob

jobs_app = typer.Typer(
    help="Scoring jobs of a running server (docs/jobs.md). Results are JSON, one line each.",
    callback=connection_options,
    no_args_is_help=True,
)

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Its job_id.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Until it has ended.")]


class ListedJobs(StrEnum):
    """Which jobs are listed."""

    ALL = "all"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@jobs_app.command()
def create(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Files, folders, globs below the input root."),
    ] = None,
    inline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Send these instead: JSON lines as of `analyze`."),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(help="The same again gives the same job. Default: a new one."),
    ] = None,
    format_name: Annotated[
        str,
        typer.Option("--from", metavar="FORMAT", help="Of all files. Default: by their content."),
    ] = "",
    correct_roles: CorrectRolesOption = False,
    omit_evidence: Annotated[
        bool, typer.Option("--omit-evidence", help="Results without quotes.")
    ] = False,
    wait: WaitOption = False,
) -> None:
    """Create a job of files that the server can read, or of conversations that are sent with it.

    Exits with 0; with --wait, 1 if it did not succeed or items failed. With 2 if arguments or the
    file are wrong, 3 if the server cannot be reached or refuses the caller.
    """
    if bool(paths) is (inline is not None):
        raise typer.BadParameter("name PATHs, or say --inline FILE; not both")
    with context.obj() as client:
        from moodline.client import AnalysisOptions

        wanted = AnalysisOptions(omit_evidence=omit_evidence)
        if inline is not None:
            job = client.jobs.create(
                list(_conversations(inline)), request_id=request_id, options=wanted
            )
        else:
            job = client.jobs.create_from_files(
                paths or [],
                format_name=format_name,
                correct_roles=correct_roles,
                request_id=request_id,
                options=wanted,
            )
        _show(client, job, wait=wait)


@jobs_app.command()
def get(context: typer.Context, job_id: JobArgument, wait: WaitOption = False) -> None:
    """Tell how a job stands.

    Exits with 0; with --wait, 1 if it did not succeed or items failed. With 3 if the server cannot
    be reached, refuses the caller or has no such job.
    """
    with context.obj() as client:
        _show(client, client.jobs.get(job_id), wait=wait)


@jobs_app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[ListedJobs, typer.Option(help="Of this state alone.")] = ListedJobs.ALL,
) -> None:
    """List jobs, newest first."""
    with context.obj() as client:
        wanted = "" if state is ListedJobs.ALL else state.value.upper()
        for job in client.jobs.list(state=wanted):
            echo(job)


@jobs_app.command()
def cancel(context: typer.Context, job_id: JobArgument) -> None:
    """End a job; what was scored stays, and one that has ended stays as it is."""
    with context.obj() as client:
        echo(client.jobs.cancel(job_id))


@jobs_app.command()
def delete(context: typer.Context, job_id: JobArgument) -> None:
    """Remove a job that has ended, with its results."""
    with context.obj() as client:
        client.jobs.delete(job_id)


@jobs_app.command()
def results(context: typer.Context, job_id: JobArgument) -> None:
    """Write the results that there are now, in the order of the input."""
    with context.obj() as client:
        for result in client.jobs.results(job_id):
            echo(result)


def _show(client: MoodlineClient, job: ScoringJob, *, wait: bool) -> None:
    if wait:
        job = client.jobs.wait(job.job_id)
    echo(job)
    if wait and (job.state != "SUCCEEDED" or job.failed_count):
        raise typer.Exit(ExitCode.FAILED)


def _conversations(file: Path) -> Iterator[Conversation]:
    """Read JSON lines.

    Raises:
        JobError: If a line is no conversation; none is sent then.
    """
    from moodline.cli.conversation_lines import LineParser
    from moodline.errors import InvalidRequestError
    from moodline.jobs.errors import JobError
    from moodline.json_lines import line_too_long, read_lines
    from moodline.limits import Limits
    from moodline.rpc.validation import RequestValidator

    parser = LineParser(RequestValidator(Limits()))
    with file.open("rb") as source:
        for number, line in read_lines(source):
            try:
                if line is None:
                    raise line_too_long()
                yield parser.parse(line).conversation
            except InvalidRequestError as error:
                raise JobError(f"{file}:{number}: {error}") from None
