"""What `moodline` says to the shell, and which error says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer


class ExitCode(IntEnum):
    """What `moodline` says to the shell."""

    OK = 0
    FAILED = 1
    """Some conversations were refused, the server is not serving, or the engine died."""
    WRONG_USAGE = 2
    """Arguments, settings, the model, the input file, or something that the server does not have or
    that does not stand as it should; nothing was done."""
    NO_SERVER = 3
    """The server cannot be reached, or refuses the caller; what came before stands."""


@contextmanager
def exit_codes(*, no_server: ExitCode = ExitCode.NO_SERVER) -> Iterator[None]:
    """Say what went wrong on standard error and leave with the code that tells it."""
    from moodline.backtest.errors import BacktestError
    from moodline.client import MoodlineRpcError
    from moodline.errors import ArtifactError, MoodlineError, RuleSetError, SettingsError
    from moodline.jobs.errors import JobError
    from moodline.reports.errors import ReportError

    try:
        yield
    except BrokenPipeError:
        raise  # Whoever read our output has enough; typer leaves quietly.
    except (
        SettingsError,
        ArtifactError,
        JobError,
        BacktestError,
        ReportError,
        RuleSetError,
    ) as error:
        code, message = ExitCode.WRONG_USAGE, str(error)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        code, message = ExitCode.WRONG_USAGE, f"{named}{error.strerror or type(error).__name__}"
    except MoodlineRpcError as error:
        is_wrong = error.is_about_the_request
        code, message = ExitCode.WRONG_USAGE if is_wrong else no_server, str(error)
    except MoodlineError as error:
        code, message = ExitCode.FAILED, f"{error.reason}: {error}"
    else:
        return
    typer.echo(f"moodline: {message}", err=True)
    raise typer.Exit(code)
