"""Options of commands that call a running server, given once, before the command."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from moodline.cli.options import (
    DEFAULT_TIMEOUT_S,
    CaOption,
    CertificateOption,
    KeyOption,
    ServerNameOption,
    TenantOption,
    TlsOption,
    TokenFileOption,
)

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
    """Say which server, before the command: moodline GROUP --server HOST:PORT COMMAND."""
    # It imports those who import this module.
    from moodline.cli.commands import connected

    context.obj = lambda: connected(
        server,
        token_file=token_file,
        tenant=tenant,
        timeout_s=timeout,
        tls=tls,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_server_name=tls_server_name,
    )
