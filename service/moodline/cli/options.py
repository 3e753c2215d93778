"""Options that several commands share."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

TOKEN_VARIABLE: Final = "MOODLINE_TOKEN"  # noqa: S105 - its name, not its value
TLS_PANEL: Final = "Encryption"
DEFAULT_TIMEOUT_S: Final = 60.0

ServerOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Let this server do it instead of this machine."),
]
TokenFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help=f"File with the bearer token; else {TOKEN_VARIABLE} is used, if set."),
]
TenantOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Tenant that the token must be of.")
]
TimeoutOption: TypeAlias = Annotated[
    float, typer.Option(min=0.001, help="Seconds that the server has for one conversation.")
]
TlsOption: TypeAlias = Annotated[
    bool, typer.Option("--tls", help="Encrypt.", rich_help_panel=TLS_PANEL)
]
CaOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar="MOODLINE_CLIENT_CA",
        help="PEM of the authority of the server's certificate.",
        rich_help_panel=TLS_PANEL,
    ),
]
CertificateOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        envvar="MOODLINE_CLIENT_CERTIFICATE",
        help="PEM chain of your own certificate, for mutual TLS.",
        rich_help_panel=TLS_PANEL,
    ),
]
KeyOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--tls-key",
        envvar="MOODLINE_CLIENT_KEY",
        help="PEM private key of your own certificate.",
        rich_help_panel=TLS_PANEL,
    ),
]
ServerNameOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--tls-server-name",
        envvar="MOODLINE_CLIENT_SERVER_NAME",
        help="Name in the server's certificate, where it is not that of the address.",
        rich_help_panel=TLS_PANEL,
    ),
]

FromOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="FORMAT",
        help="Of all inputs, by a name of docs/formats.md. Default: by their content.",
    ),
]
RoleOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=ROLE",
        help="Role of a speaker: customer, agent or bot, e.g. 'Speaker 0=agent'. Repeatable.",
    ),
]
ColumnOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="THEIRS=OURS",
        help="Meaning of a column, e.g. 'Mesaj=text'; docs/formats.md lists ours. Repeatable.",
    ),
]
EncodingOption: TypeAlias = Annotated[str, typer.Option(help="Of text files.")]
CorrectRolesOption: TypeAlias = Annotated[
    bool,
    typer.Option("--correct-roles", help="Score by the roles that the words speak for."),
]


class OutputFormat(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


OutputFormatOption: TypeAlias = Annotated[
    OutputFormat | None,
    typer.Option("--format", help="Default: table on a terminal, else json."),
]


def is_table(output_format: OutputFormat | None) -> bool:
    """Return whether results are drawn on standard output, by an `OutputFormatOption`."""
    return output_format is OutputFormat.TABLE or (output_format is None and sys.stdout.isatty())
