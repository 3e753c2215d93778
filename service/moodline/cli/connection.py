"""How commands call a running server, by which token, encrypted or not, and write its answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from moodline.cli.exit_codes import exit_codes
from moodline.cli.options import (
    DEFAULT_TIMEOUT_S,
    TOKEN_VARIABLE,
    CaOption,
    CertificateOption,
    KeyOption,
    ServerNameOption,
    TenantOption,
    TlsOption,
    TokenFileOption,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from moodline.client import MoodlineClient, TlsOptions

DEFAULT_SERVER: Final = "127.0.0.1:50051"


def connection_options(
    context: typer.Context,
    server: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The server to call.")
    ] = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    tenant: TenantOption = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds that the server has for one call.")
    ] = DEFAULT_TIMEOUT_S,
    tls: TlsOption = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
    tls_server_name: ServerNameOption = "",
) -> None:
    """Say which server, before the command: moodline GROUP --server HOST:PORT COMMAND.

    Puts into `context.obj` what opens a client, and leaves with the code of what goes wrong there.
    """

    @contextmanager
    def connected() -> Iterator[MoodlineClient]:
        with exit_codes():
            from moodline.client import MoodlineClient

            with MoodlineClient(
                server,
                token=token_of(token_file),
                tenant=tenant,
                tls=tls_of(tls, tls_ca, tls_cert, tls_key, tls_server_name),
                timeout_s=timeout,
            ) as client:
                yield client

    context.obj = connected


def token_of(token_file: Path | None) -> str | None:
    """Return the token of a file, else of the environment.

    Raises:
        OSError: If the file cannot be read.
    """
    if token_file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    return token_file.read_text("utf-8").strip()


def tls_of(
    is_wanted: bool, ca: Path | None, certificate: Path | None, key: Path | None, server_name: str
) -> TlsOptions | None:
    """Return how to encrypt; naming any file or name of TLS asks for it.

    Raises:
        typer.BadParameter: If a certificate comes without its key, or the other way round.
    """
    from moodline.client import TlsOptions

    if not (is_wanted or ca or certificate or key or server_name):
        return None
    try:
        return TlsOptions(ca, certificate, key, server_name)
    except ValueError:
        raise typer.BadParameter("--tls-cert and --tls-key belong together; give both") from None


def echo(message: Message) -> None:
    """Write an answer as a line of JSON with the names of its fields."""
    from google.protobuf.json_format import MessageToJson

    typer.echo(
        MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)
    )
