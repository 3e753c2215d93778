"""One attempt: signed, to allowed addresses alone, and judged by its status."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from moodline.actions.endpoints import Endpoint
from moodline.actions.queue import LeasedAction
from moodline.actions.retry import Answer
from moodline.actions.sending import MAX_READ_BYTES, HttpSender
from tests.integration.action_receiver import OLD_SECRET, SECRET, Receiver, Reply, receiver

NOW = datetime(2026, 3, 1, 12, 0, 0, 700_000, tzinfo=UTC)
ACTION = LeasedAction(
    tenant="acme",
    idempotency_key="k1",
    kind="webhook",
    target="",
    payload={"text": "şikâyet شكوى"},
    lease_owner="me",
    attempt_count=1,
    queued_at=NOW,
)


def sender(url: str, *, resolve: Any = None, tls: Any = None, **fields: object) -> HttpSender:
    endpoint = Endpoint.model_validate(
        {
            "kind": "webhook",
            "url": url,
            "secrets": [SECRET],
            "allow_private": True,
            "timeout_s": 30,
            **fields,
        }
    )
    options = {} if resolve is None else {"resolve": resolve}
    options |= {} if tls is None else {"make_tls": tls}
    return HttpSender(endpoint, max_connections=2, **options)


async def send(url: str, **fields: Any) -> Answer:
    async with sender(url, **fields) as opened:
        return await opened.send(ACTION, at=NOW)


def resolving(*answers: Sequence[str]) -> Any:
    """A resolver that gives other addresses each time."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        assert host == "hooks.example.com"
        return left.pop(0)

    return resolve


def named(there: Receiver) -> str:
    return f"http://hooks.example.com:{there.port}/hooks?token=t"


async def test_a_request_is_signed_as_standard_webhooks_says() -> None:
    with receiver() as there:
        assert await send(there.url) == Answer(204)
    (request,) = there.received
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "k1"
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert request.message == ACTION.payload
    assert request.is_signed_with(SECRET)
    assert not request.is_signed_with(OLD_SECRET)


async def test_while_secrets_change_a_request_is_signed_with_each() -> None:
    with receiver() as there:
        await send(there.url, secrets=[SECRET, OLD_SECRET])
    assert there.received[0].is_signed_with(SECRET)
    assert there.received[0].is_signed_with(OLD_SECRET)


async def test_the_name_is_kept_in_the_request_while_the_address_is_fixed() -> None:
    with receiver() as there:
        assert await send(named(there), resolve=resolving(["127.0.0.1"])) == Answer(204)
    (request,) = there.received
    assert request.headers["host"] == f"hooks.example.com:{there.port}"
    assert request.path == "/hooks?token=t"


async def test_the_next_address_of_a_name_is_tried() -> None:
    with receiver() as there:
        answer = await send(named(there), resolve=resolving(["127.0.0.2", "127.0.0.1"]))
    assert answer == Answer(204)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::ffff:127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["169.254.169.254"]],
)
async def test_a_name_that_leads_inside_is_refused(addresses: list[str]) -> None:
    with receiver() as there:
        answer = await send(
            named(there).replace("http:", "https:"),
            resolve=resolving(addresses),
            allow_private=False,
        )
    assert answer == Answer(error="address_refused")
    assert there.received == []


async def test_metadata_is_refused_even_where_private_addresses_are_allowed() -> None:
    with receiver() as there:
        answer = await send(named(there), resolve=resolving(["169.254.169.254"]))
    assert answer == Answer(error="address_refused")


async def test_a_name_is_judged_at_each_connection_not_once() -> None:
    """DNS rebinding: allowed at first, then it points elsewhere."""
    with receiver() as there:
        there.reply = lambda _: Reply(204, {"connection": "close"})
        resolve = resolving(["127.0.0.1"], ["169.254.169.254"])
        async with sender(named(there), resolve=resolve) as opened:
            assert await opened.send(ACTION, at=NOW) == Answer(204)
            assert await opened.send(ACTION, at=NOW) == Answer(error="address_refused")
    assert len(there.received) == 1


async def test_localhost_by_its_real_name_is_refused() -> None:
    answer = await send("https://localhost:1/", allow_private=False)
    assert answer == Answer(error="address_refused")


async def test_the_receiver_of_the_docs_acts_once_on_what_is_signed_and_refuses_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "actions.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setenv("MOODLINE_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    acted_on: list[object] = []
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(example, "docs/actions.md", "exec"), names)
    names["act"] = acted_on.append
    with receiver(is_up=False) as there:
        there.server.RequestHandlerClass = names["Receiver"]
        there.start()
        async with sender(there.url) as opened:
            now = datetime.now(UTC)
            assert await opened.send(ACTION, at=now) == Answer(204)
            assert await opened.send(ACTION, at=now) == Answer(204)
            assert await opened.send(ACTION, at=now - timedelta(minutes=6)) == Answer(401)
        async with sender(there.url, secrets=[OLD_SECRET]) as opened:
            assert await opened.send(ACTION, at=now) == Answer(401)
    names["seen"].close()
    assert acted_on == [ACTION.payload]


async def test_redirects_are_not_followed() -> None:
    with receiver() as there, receiver() as elsewhere:
        there.reply = lambda _: Reply(307, {"location": elsewhere.url})
        assert await send(there.url) == Answer(307)
    assert elsewhere.received == []


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as there, receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert await send(there.url) == Answer(204)
    assert proxy.received == []


async def test_status_and_retry_after_are_told() -> None:
    with receiver() as there:
        there.reply = lambda _: Reply(429, {"Retry-After": "17"}, b"slow down")
        assert await send(there.url) == Answer(429, "17")


async def test_a_long_answer_is_not_read_to_its_end() -> None:
    with receiver() as there:
        there.reply = lambda _: Reply(200, body=b"x" * (64 * MAX_READ_BYTES))
        assert await send(there.url) == Answer(200)


async def test_a_status_counts_even_if_the_rest_of_the_answer_never_comes() -> None:
    with receiver() as there:
        there.reply = lambda _: Reply(200, missing_bytes=5)
        assert await send(there.url, timeout_s=2) == Answer(200)


async def test_nobody_there_is_an_answer() -> None:
    with receiver(is_up=False) as there:
        assert await send(there.url) == Answer(error="not_reachable")


async def test_a_name_without_address_is_an_answer() -> None:
    assert await send("http://hooks.example.com:1/", resolve=resolving([])) == Answer(
        error="not_reachable"
    )


async def test_a_receiver_that_is_too_slow_is_an_answer() -> None:
    with receiver() as there:
        is_over = threading.Event()

        def hang(_: object) -> Reply:
            is_over.wait(60)
            return Reply()

        there.reply = hang
        try:
            assert await send(there.url, timeout_s=0.5) == Answer(error="timeout")
        finally:
            is_over.set()


async def test_a_receiver_that_hangs_up_is_an_answer() -> None:
    with receiver() as there:

        def hang_up(_: object) -> Reply:
            raise ConnectionAbortedError

        there.reply = hang_up
        assert await send(there.url) == Answer(error="connection_broken")


async def test_certificates_are_checked_against_the_name() -> None:
    authority = trustme.CA()

    def trusting() -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    def serving(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    for name, wanted in (
        ("hooks.example.com", Answer(204)),
        ("other.example.com", Answer(error="tls_failed")),
    ):
        with receiver(is_up=False) as there:
            there.server.socket = serving(name).wrap_socket(there.server.socket, server_side=True)
            there.start()
            url = named(there).replace("http:", "https:")
            answer = await send(url, resolve=resolving(["127.0.0.1"]), tls=trusting)
            assert answer == wanted, name
