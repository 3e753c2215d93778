"""How a caller shows itself to the server."""

from pathlib import Path

import pytest

from moodline.client import TlsOptions
from moodline.client.endpoint import Endpoint


def test_token_and_tenant_travel_as_metadata() -> None:
    endpoint = Endpoint("127.0.0.1:1", token="secret", tenant="acme")
    assert endpoint.metadata() == (
        ("authorization", "Bearer secret"),
        ("moodline-tenant", "acme"),
    )
    assert Endpoint("127.0.0.1:1").metadata() == ()


def test_the_token_is_never_shown() -> None:
    assert "secret" not in repr(Endpoint("127.0.0.1:1", token="secret"))


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValueError, match="set both or neither"):
        TlsOptions(certificate_file=Path("client.pem"))
