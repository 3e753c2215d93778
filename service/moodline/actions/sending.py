"""One attempt: a signed HTTP request and what came of it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import httpcore2
from standardwebhooks import Webhook

from moodline.actions.addresses import AddressRefusedError, GuardedNetwork, Resolve, resolve
from moodline.actions.endpoints import Endpoint
from moodline.actions.queue import LeasedAction
from moodline.actions.retry import Answer

MAX_READ_BYTES: Final = 65_536
"""Of an answer's body, so that the connection can serve again; what it says counts for nothing."""
_KEEP_ALIVE_S: Final = 30.0


class HttpSender:
    """Posts actions to one endpoint.

    No redirect is followed and no proxy of the environment used: both would lead to addresses that
    nobody has judged. Each endpoint has its own connections, because those of one that may be
    private must not serve one that may not.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        max_connections: int,
        resolve: Resolve = resolve,
        make_tls: Callable[[], ssl.SSLContext] = httpcore2.default_ssl_context,
    ) -> None:
        """Take where to send to.

        Args:
            endpoint: The receiver.
            max_connections: At a time.
            resolve: Another resolver of names.
            make_tls: Another trust in certificates.
        """
        self._endpoint = endpoint
        self._signers = [Webhook(secret.get_secret_value()) for secret in endpoint.secrets]
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=make_tls() if endpoint.url.scheme == "https" else None,
            max_connections=max_connections,
            keepalive_expiry=_KEEP_ALIVE_S,
            network_backend=GuardedNetwork(allow_private=endpoint.allow_private, resolve=resolve),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.aclose()

    async def send(self, action: LeasedAction, *, at: datetime) -> Answer:
        """Post an action once and return what came of it, whatever that is.

        Args:
            action: What to post.
            at: Now, which is signed too.
        """
        answer = Answer(error="timeout")
        body = json.dumps(action.payload, ensure_ascii=False, separators=(",", ":"))
        headers = self._headers(action.idempotency_key, body, at=at)
        try:
            async with (
                asyncio.timeout(self._endpoint.timeout_s),
                self._pool.stream(
                    "POST",
                    str(self._endpoint.url),
                    headers=headers,
                    content=body.encode(),
                    extensions={"timeout": {"connect": self._endpoint.timeout_s}},
                ) as response,
            ):
                given = {key.lower(): value for key, value in response.headers}
                answer = Answer(response.status, given.get(b"retry-after", b"").decode("latin-1"))
                read_bytes = 0
                async for chunk in response.aiter_stream():
                    read_bytes += len(chunk)
                    if read_bytes > MAX_READ_BYTES:
                        break
        except AddressRefusedError:
            return Answer(error="address_refused")
        except (
            TimeoutError, OSError, httpcore2.TimeoutException, httpcore2.NetworkError,
            httpcore2.ProtocolError,
        ) as error:  # fmt: skip
            # A status that came counts, whatever became of the body.
            if answer.status is None and not isinstance(error, TimeoutError):
                return Answer(error=_word(error))
        return answer

    def _headers(self, key: str, body: str, *, at: datetime) -> list[tuple[bytes, bytes]]:
        """Return the headers of one attempt. Source: Standard Webhooks, "Webhook headers"."""
        signatures = " ".join(signer.sign(key, at, body) for signer in self._signers)
        return [
            (b"content-type", b"application/json"),
            (b"user-agent", b"moodline"),
            (b"webhook-id", key.encode()),
            (b"webhook-timestamp", str(int(at.timestamp())).encode()),
            (b"webhook-signature", signatures.encode()),
        ]


def _word(error: Exception) -> str:
    """Name what went wrong, without the text of the error, which may hold addresses."""
    if isinstance(error, httpcore2.TimeoutException):
        return "timeout"
    if isinstance(error, httpcore2.ConnectError):
        is_tls = isinstance(error.__context__, ssl.SSLError)
        return "tls_failed" if is_tls else "not_reachable"
    return "connection_broken"
