"""A receiver of actions on a port of this machine, which answers as the test says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Verify without the library that signs. Source: Standard Webhooks, "Signature scheme"."""
        signed = b".".join(
            [self.webhook_id.encode(), self.headers["webhook-timestamp"].encode(), self.body]
        )
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


@dataclass(frozen=True)
class Reply:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    missing_bytes: int = 0


@dataclass
class Receiver:
    """What came, in order; `reply` decides what goes back and may block."""

    server: ThreadingHTTPServer
    received: list[Received] = field(default_factory=list)
    reply: Callable[[Received], Reply] = lambda _: Reply()
    thread: threading.Thread | None = None
    arrival: threading.Condition = field(default_factory=threading.Condition)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [request.webhook_id for request in self.received]

    async def came(self, count: int) -> None:
        """Wait until so many requests have come."""

        def wait() -> bool:
            with self.arrival:
                return self.arrival.wait_for(lambda: len(self.received) >= count, 120)

        assert await asyncio.to_thread(wait)

    def start(self) -> None:
        """Take connections, which are refused before."""
        self.server.server_activate()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        if self.thread is not None:
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that gave up is no error of the test."""


@contextmanager
def receiver(*, is_up: bool = True) -> Iterator[Receiver]:
    """Yield a receiver; the port is taken even while it is down."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {key.lower(): value for key, value in self.headers.items()}
            request = Received(self.path, headers, body)
            with here.arrival:
                here.received.append(request)
                here.arrival.notify_all()
            reply = here.reply(request)
            self.send_response(reply.status)
            for key, value in reply.headers.items():
                self.send_header(key, value)
            self.send_header("content-length", str(len(reply.body) + reply.missing_bytes))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.server_bind()
    here = Receiver(server)
    if is_up:
        here.start()
    try:
        yield here
    finally:
        here.stop()
