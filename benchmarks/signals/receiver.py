"""A receiver of actions that counts what came."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_SECRET: Final = "whsec_" + base64.b64encode(bytes(32)).decode()
_KINDS: Final = ("route", "task", "survey", "webhook")

Effect = tuple[str, str, str]
"""Signal, kind and target: what an action is in effect."""


@dataclass
class ActionReceiver:
    """What came.

    Attributes:
        url: Where to send to.
        deliveries: Requests by idempotency key.
        effects: What each key stands for.
    """

    url: str = ""
    deliveries: Counter[str] = field(default_factory=Counter)
    effects: dict[str, Effect] = field(default_factory=dict)

    def endpoints_yaml(self) -> str:
        """The file of endpoints that sends every action here."""
        entry = {"target": "*", "url": self.url, "secrets": [_SECRET], "allow_private": True}
        return json.dumps({"endpoints": [{"kind": kind, **entry} for kind in _KINDS]})

    def take(self, key: str, message: dict[str, Any]) -> None:
        """Count a request; a receiver would do nothing for a key that it knows."""
        action, signal = message["data"]["action"], message["data"]["signal"]
        effect = (signal["signal_id"], action["kind"], action["target"])
        if self.effects.setdefault(key, effect) != effect:
            raise ValueError(f"{key} came for two different actions")
        self.deliveries[key] += 1


@contextmanager
def action_receiver() -> Iterator[ActionReceiver]:
    """Listen on a free port of this machine."""
    receiver = ActionReceiver()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                receiver.take(self.headers["webhook-id"], json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

        def handle_error(self, *_: Any) -> None:
            """A sender that was killed is what this is about."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
