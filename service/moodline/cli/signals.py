"""`moodline signals` and `moodline rules`: the signals of a running server, and rule files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moodline.cli.connection import connection_options, echo
from moodline.cli.exit_codes import ExitCode
from moodline.cli.options import OutputFormatOption, is_table

if TYPE_CHECKING:
    from moodline.client import Signal, SignalFilter

signals_app = typer.Typer(
    callback=connection_options,
    help="Signals of a running server: watch, list, acknowledge, resolve (docs/signals.md).",
    no_args_is_help=True,
)
rules_app = typer.Typer(help="Rule files (docs/rules.md).", no_args_is_help=True)

SignalArgument = Annotated[str, typer.Argument(metavar="SIGNAL", help="Its signal_id.")]
LanguageOption = Annotated[str, typer.Option(help="Of explanations: en, tr, ar.")]
StateOption = Annotated[
    list[str] | None, typer.Option("--state", help="RAISED, ACKNOWLEDGED, CLEARED, …; repeatable.")
]
SeverityOption = Annotated[
    str, typer.Option("--min-severity", help="info, low, medium, high or critical.")
]
ReasonOption = Annotated[list[str] | None, typer.Option("--reason", help="Repeatable.")]
RouteOption = Annotated[list[str] | None, typer.Option("--route", help="Repeatable.")]
CauseOption = Annotated[list[str] | None, typer.Option("--cause", help="Repeatable.")]
ConversationOption = Annotated[str, typer.Option("--conversation", help="Of this one alone.")]
CustomerOption = Annotated[str, typer.Option("--customer", help="Of this one alone.")]


class OutcomeName(StrEnum):
    """What a signal was worth."""

    RIGHT = "right"
    WRONG = "wrong"
    TOO_LATE = "too_late"


@signals_app.command()
def watch(
    context: typer.Context,
    state: StateOption = None,
    min_severity: SeverityOption = "",
    reason: ReasonOption = None,
    route: RouteOption = None,
    cause: CauseOption = None,
    conversation: ConversationOption = "",
    customer: CustomerOption = "",
    token: Annotated[
        str, typer.Option("--resume", metavar="TOKEN", help="Begin where an earlier watch ended.")
    ] = "",
    count: Annotated[int | None, typer.Option(min=1, help="Leave after so many events.")] = None,
    language: LanguageOption = "en",
    output_format: OutputFormatOption = None,
) -> None:
    """Show what happens to signals as it happens, until Ctrl-C; then tell how to go on.

    Comes back by itself when the server restarts, with nothing lost.

    Exits with 0, with 3 if the server cannot be reached at first or refuses the caller.
    """
    wanted = _filter(state, min_severity, reason, route, cause, conversation, customer)
    with context.obj() as client:
        from moodline.cli.render_signals import clock_time, event_line
        from moodline.cli.sinks import new_console

        console = new_console()
        watching = client.signals.watch(wanted, resume_token=token)
        shown_count = 0
        try:
            for event in watching:
                if is_table(output_format):
                    place = f"{clock_time(event.event_time)}  {event.signal.conversation_id}"
                    console.print(place, style="dim")
                    console.print(event_line(event, language=language))
                else:
                    echo(event)
                shown_count += 1
                if shown_count == count:
                    break
        except KeyboardInterrupt:
            pass
        finally:
            watching.close()
        if watching.resume_token:
            typer.echo(f"go on with --resume {watching.resume_token}", err=True)


@signals_app.command("list")
def list_signals(
    context: typer.Context,
    state: StateOption = None,
    min_severity: SeverityOption = "",
    reason: ReasonOption = None,
    route: RouteOption = None,
    cause: CauseOption = None,
    conversation: ConversationOption = "",
    customer: CustomerOption = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    language: LanguageOption = "en",
    output_format: OutputFormatOption = None,
) -> None:
    """List signals, the newest raised first.

    Exits with 0, with 3 if the server cannot be reached or refuses the caller.
    """
    wanted = _filter(state, min_severity, reason, route, cause, conversation, customer)
    with context.obj() as client:
        from moodline.cli.render_signals import signals_table
        from moodline.cli.sinks import new_console

        signals: list[Signal] = []
        page_token = ""
        while len(signals) < limit:
            page = client.signals.list(
                wanted, page_size=limit - len(signals), page_token=page_token
            )
            signals += page.signals
            page_token = page.next_page_token
            if not page_token:
                break
        if is_table(output_format):
            new_console().print(signals_table(signals, language=language))
        else:
            for signal in signals:
                echo(signal)


@signals_app.command()
def acknowledge(
    context: typer.Context,
    signal_id: SignalArgument,
    by: Annotated[str, typer.Option(help="Who. Default: the name of the token.")] = "",
) -> None:
    """Say that somebody has taken note of a signal.

    Exits with 0, with 3 if the server cannot be reached or refuses it.
    """
    with context.obj() as client:
        signal = client.signals.acknowledge(signal_id, by=by)
        typer.echo(f"{signal.signal_id} {signal.state} by {signal.acknowledged_by}")


@signals_app.command()
def resolve(
    context: typer.Context,
    signal_id: SignalArgument,
    outcome: Annotated[OutcomeName, typer.Argument(help="What the signal was worth.")],
    comment: Annotated[str, typer.Option(help="What there is to say about it.")] = "",
    by: Annotated[str, typer.Option(help="Who. Default: the name of the token.")] = "",
) -> None:
    """Say that a signal is dealt with, and what it was worth.

    Exits with 0, with 3 if the server cannot be reached or refuses it.
    """
    with context.obj() as client:
        signal = client.signals.resolve(signal_id, outcome.value.upper(), comment=comment, by=by)
        typer.echo(f"{signal.signal_id} {signal.state} {signal.outcome} by {signal.resolved_by}")


@rules_app.command()
def check(
    file: Annotated[Path, typer.Argument(help="YAML file of rules.")],
) -> None:
    """Check a rule set on this machine: every problem with its line, rule and field.

    Exits with 0 and prints name, digest and number of rules; with 1 if there are problems, 2 if
    the file cannot be read.
    """
    from moodline.errors import RuleSetError
    from moodline.rules.rule_set import RuleSet

    try:
        rule_set = RuleSet.load(file)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    except RuleSetError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.FAILED) from None
    typer.echo(f"{rule_set.content.name} {rule_set.digest} rules: {len(rule_set.rules)}")


def _filter(
    state: list[str] | None,
    min_severity: str,
    reason: list[str] | None,
    route: list[str] | None,
    cause: list[str] | None,
    conversation: str,
    customer: str,
) -> SignalFilter:
    from moodline.client import SignalFilter

    return SignalFilter(
        states=[name.upper() for name in state or ()],
        min_severity=min_severity,
        reasons=reason,
        routes=route,
        causes=cause,
        conversation_id=conversation,
        customer_id=customer,
    )
