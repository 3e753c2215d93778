"""How transcripts are read, by the options of a command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from moodline.errors import InvalidRequestError
from moodline.jobs.errors import JobError
from moodline.jobs.items import Reading
from moodline.transcripts import ReadOptions, SpeakerRole, load_formats
from moodline.transcripts.registry import format_named
from moodline.transcripts.rows import COLUMNS


def reading_of(
    *,
    format_name: str,
    roles: Iterable[str] | None,
    columns: Iterable[str] | None,
    encoding: str,
    are_roles_corrected: bool,
    is_vcon_required: bool = False,
) -> Reading:
    """Return how to read, from the arguments of a command.

    Raises:
        JobError: If one of them is of no use.
    """
    formats = load_formats()
    if format_name:
        try:
            format_named(format_name, formats)
        except InvalidRequestError as error:
            raise JobError(f"--from {format_name}: {error.violations[0].description}.") from None
    try:
        "".encode(encoding)
    except LookupError:
        raise JobError(f"--encoding {encoding}: is none; name one such as utf-8.") from None
    return Reading(
        formats=formats,
        format_name=format_name,
        options=ReadOptions(
            roles={name: _role(role) for name, role in _pairs("--role", roles or ())},
            columns={name: _column(ours) for name, ours in _pairs("--column", columns or ())},
            encoding=encoding,
        ),
        are_roles_corrected=are_roles_corrected,
        is_vcon_required=is_vcon_required,
    )


def _pairs(option: str, arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    for argument in arguments:
        theirs, separator, ours = argument.rpartition("=")
        if not (theirs and separator and ours):
            raise JobError(f"{option} {argument}: write THEIRS=OURS.")
        yield theirs, ours


def _column(name: str) -> str:
    if name not in COLUMNS:
        raise JobError(f"--column {name}: is none of {', '.join(COLUMNS)}; use one of these.")
    return name


def _role(name: str) -> SpeakerRole:
    try:
        return SpeakerRole(name.casefold())
    except ValueError:
        known = ", ".join(SpeakerRole)
        raise JobError(f"--role {name}: is none of {known}; use one of these.") from None
