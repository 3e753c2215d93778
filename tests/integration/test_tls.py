"""Encryption and certificates of clients, with an authority made for the test."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
import trustme

from moodline.analyzer import ConversationAnalyzer
from moodline.errors import SettingsError
from moodline.settings import TlsSettings
from moodline.v1.analysis_service_pb2 import GetCapabilitiesRequest
from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from tests.integration.harness import refusal, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> TlsSettings:
    certificate = authority.issue_cert("127.0.0.1")
    paths = [tmp_path / name for name in ("server.pem", "server.key", "ca.pem")]
    certificate.cert_chain_pems[0].write_to_path(paths[0])
    certificate.private_key_pem.write_to_path(paths[1])
    authority.cert_pem.write_to_path(paths[2])
    return TlsSettings(
        certificate_file=paths[0], private_key_file=paths[1], client_ca_file=paths[2]
    )


def client(authority: trustme.CA, *, signed_by: trustme.CA | None) -> grpc.ChannelCredentials:
    if signed_by is None:
        return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    certificate = signed_by.issue_cert("client.example.org")
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        private_key=certificate.private_key_pem.bytes(),
        certificate_chain=certificate.cert_chain_pems[0].bytes(),
    )


async def ask(port: int, credentials: grpc.ChannelCredentials) -> None:
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        await AnalysisServiceStub(channel).GetCapabilities(GetCapabilitiesRequest())


async def test_a_client_that_trusts_the_authority_is_served(
    analyzer: ConversationAnalyzer, authority: trustme.CA, tls: TlsSettings
) -> None:
    without_clients = tls.model_copy(update={"client_ca_file": None})
    async with serving(analyzer, with_settings=settings(tls=without_clients)) as served:
        await ask(served.rpc.port, client(authority, signed_by=None))


async def test_a_client_without_tls_is_not_served(
    analyzer: ConversationAnalyzer, tls: TlsSettings
) -> None:
    async with serving(analyzer, with_settings=settings(tls=tls)) as served:
        answer = await refusal(served.stub.GetCapabilities(GetCapabilitiesRequest()))
    assert answer.code is grpc.StatusCode.UNAVAILABLE


async def test_a_client_with_a_certificate_is_served(
    analyzer: ConversationAnalyzer, authority: trustme.CA, tls: TlsSettings
) -> None:
    async with serving(analyzer, with_settings=settings(tls=tls)) as served:
        await ask(served.rpc.port, client(authority, signed_by=authority))


@pytest.mark.parametrize("has_certificate", [False, True])
async def test_a_client_without_a_certificate_of_the_authority_is_not_served(
    analyzer: ConversationAnalyzer, authority: trustme.CA, tls: TlsSettings, has_certificate: bool
) -> None:
    signed_by = trustme.CA() if has_certificate else None
    async with serving(analyzer, with_settings=settings(tls=tls)) as served:
        answer = await refusal(ask(served.rpc.port, client(authority, signed_by=signed_by)))
    assert answer.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("content", [None, "not a certificate"])
async def test_a_file_that_is_no_pem_is_refused_by_name(
    analyzer: ConversationAnalyzer, tls: TlsSettings, content: str | None
) -> None:
    assert tls.certificate_file is not None
    if content is None:
        tls.certificate_file.unlink()
    else:
        tls.certificate_file.write_text(content)
    with pytest.raises(SettingsError, match="MOODLINE_TLS__CERTIFICATE_FILE"):
        async with serving(analyzer, with_settings=settings(tls=tls)):
            pass


async def test_a_key_of_another_certificate_is_refused(
    analyzer: ConversationAnalyzer, authority: trustme.CA, tls: TlsSettings
) -> None:
    assert tls.private_key_file is not None
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(tls.private_key_file)
    with pytest.raises(SettingsError, match="certificate and key"):
        async with serving(analyzer, with_settings=settings(tls=tls)):
            pass
