"""Options that several commands share."""

from __future__ import annotations

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
