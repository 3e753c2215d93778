"""Shows the service at work: a real server, the sample conversations live, turn by turn."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import yaml
from rich.console import Console
from rich.text import Text

from moodline.app import ServerAddress, serve
from moodline.cli import render, render_signals
from moodline.cli.conversation_lines import LineParser
from moodline.client import (
    AsyncMoodlineClient,
    ConversationAnalysis,
    MoodlineRpcError,
    RetryPolicy,
    StreamSignals,
    StreamTurnResult,
)
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator
from moodline.samples import read_samples
from moodline.settings import load_settings
from moodline.v1.conversation_pb2 import Conversation, Turn

HOST: Final = "127.0.0.1"
_TENANT: Final = "demo"


@dataclass(frozen=True, slots=True)
class DemoServer:
    """A server of this process, on a free port of the loopback interface.

    Attributes:
        target: `HOST:PORT`.
        token: Made for it alone.
        stopped: Done when the server is gone.
    """

    target: str
    token: str
    stopped: asyncio.Task[None]


@asynccontextmanager
async def open_server(environ: dict[str, str]) -> AsyncIterator[DemoServer]:
    """Start a server that demands a token, and stop it in the end.

    Args:
        environ: `MOODLINE_` variables of the model and its batching; the rest is the demo's own.

    Raises:
        MoodlineError: If it cannot start.
    """
    token = secrets.token_urlsafe(24)
    entry = {
        "name": "demo",
        "sha256": hashlib.sha256(token.encode()).hexdigest(),
        "tenant": _TENANT,
        "scopes": ["analysis", "signals"],
    }
    with TemporaryDirectory(prefix="moodline-demo-") as directory:
        tokens_file = Path(directory) / "tokens.yaml"
        tokens_file.write_text(yaml.safe_dump({"tokens": [entry]}), encoding="utf-8")
        settings = load_settings(
            {
                **environ,
                "MOODLINE_SERVER__HOST": HOST,
                "MOODLINE_SERVER__PORT": "0",
                "MOODLINE_AUTH__TOKENS_FILE": str(tokens_file),
                "MOODLINE_STORE__URL": f"sqlite:///{directory}/moodline.db",
            }
        )
        stop = asyncio.Event()
        ready: asyncio.Future[ServerAddress] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            serve(settings, stop=stop, on_ready=ready.set_result), name="moodline-serve"
        )
        try:
            await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
            yield DemoServer(f"{HOST}:{ready.result().port}", token, serving)
        finally:
            stop.set()
            await serving


class Demo:
    """One run of the demonstration."""

    def __init__(self, console: Console, *, pace_s: float, program: str) -> None:
        """Take where to draw.

        Args:
            console: The terminal, or a file.
            pace_s: Wait between two turns on a terminal, in seconds; elsewhere there is none.
            program: How moodline was called, for what to try next.
        """
        self._console = console
        self._pace_s = pace_s if console.is_terminal else 0.0
        self._program = program
        self._look = render.look_of(console)

    async def run(self, environ: dict[str, str], *, keep_serving: bool) -> None:
        """Start the server, show every sample, sum up; serve on until interrupted if wanted.

        Raises:
            MoodlineError: If the server cannot start.
            MoodlineRpcError: If a call fails.
        """
        self._console.print("Starting a moodline server with the bundled model …")
        started_s = time.perf_counter()
        async with open_server(environ) as server:
            start_s = time.perf_counter() - started_s
            async with AsyncMoodlineClient(server.target, token=server.token) as client:
                model = (await client.capabilities()).model_version
                self._console.print(
                    f"{model} serves gRPC at {server.target}, ready in {start_s:.1f} s.\n"
                    f"A call without a token: {await _refusal(server.target)}.\n"
                )
                shown = [await self._show(client, sample) for sample in _samples()]
            self._sum_up(shown)
            self._tell_what_next(server, keep_serving=keep_serving)
            if keep_serving:
                await _wait_for_interrupt(server.stopped)

    async def _show(self, client: AsyncMoodlineClient, conversation: Conversation) -> _Shown:
        """Stream a conversation and draw each turn as its result comes."""
        self._console.print(render.conversation_heading(conversation))
        flags = render.FlagTracker()
        reads: list[render.ReadTurn] = []

        def show_signals(told: StreamSignals) -> None:
            events = render_signals.turn_events(told.events, language=conversation.language)
            self._console.print(events)

        async with client.stream(
            conversation.conversation_id,
            channel=conversation.channel,
            language=conversation.language,
            on_signals=show_signals,
        ) as stream:
            for index, turn in enumerate(conversation.turns):
                await asyncio.sleep(self._pace_s)
                live = Turn(turn_id=f"turn-{index}", is_final=True)
                live.MergeFrom(turn)
                started_s = time.perf_counter()
                await stream.send(live)
                answer = await stream.receive()
                duration_ms = (time.perf_counter() - started_s) * 1000
                assert isinstance(answer, StreamTurnResult), "no turn was sent twice"
                read = render.ReadTurn(
                    live, answer.turn, flags.rises(answer.turn), duration_ms=duration_ms
                )
                reads.append(read)
                self._console.print(render.turn_block(read, self._look))
            summary = await stream.finish()
        results = [read.result for read in reads]
        self._console.print()
        self._console.print(render.closing_block(results, summary, self._console.width))
        return _Shown(tuple(reads), summary)

    def _sum_up(self, shown: Sequence[_Shown]) -> None:
        rows = [
            render.SummaryRow(one.summary, len(one.reads), one.customer_durations_ms)
            for one in shown
        ]
        self._console.print(render.conversations_heading(len(rows)))
        self._console.print(render.summary_table(rows))
        self._console.print()
        for one in shown:
            for read in one.reads:
                if read.is_flagged:
                    self._console.print(render.flag_entry(one.summary.conversation_id, read))
        durations_ms = [duration for one in shown for duration in one.customer_durations_ms]
        self._console.print(
            f"\n{sum(len(one.reads) for one in shown)} turns in {len(shown)} conversations, "
            f"median {median(durations_ms):.0f} ms from sending a customer's turn to its result."
        )

    def _tell_what_next(self, server: DemoServer, *, keep_serving: bool) -> None:
        program = self._program
        line = '{"conversation_id":"c-1","turns":[{"role":"customer","text":"Third time I call!"}]}'
        commands = [f"echo '{line}' | {program} analyze -"]
        if keep_serving:
            metadata = f"-H 'authorization: Bearer {server.token}'"
            service = "moodline.v1.AnalysisService"
            commands += [
                f"MOODLINE_TOKEN={server.token} {program} analyze FILE --server {server.target}",
                f"MOODLINE_TOKEN={server.token} {program} signals --server {server.target} list",
                f"grpcurl -plaintext {metadata} {server.target} {service}/GetCapabilities",
            ]
        else:
            commands.append(f"{program} demo --keep-serving")
        self._console.print("\nNow try it yourself:")
        for command in commands:
            # Not wrapped: it is to be copied.
            self._console.print(Text(f"  {command}", "bold"), soft_wrap=True)
        if keep_serving:
            self._console.print(f"\nServing gRPC at {server.target} until Ctrl-C …")


@dataclass(frozen=True, slots=True)
class _Shown:
    reads: tuple[render.ReadTurn, ...]
    summary: ConversationAnalysis

    @property
    def customer_durations_ms(self) -> tuple[float, ...]:
        return tuple(
            read.duration_ms
            for read in self.reads
            if read.duration_ms is not None and read.result.role == "customer"
        )


def _samples() -> list[Conversation]:
    parser = LineParser(RequestValidator(Limits()))
    return [parser.parse(line.encode()).conversation for line in read_samples().splitlines()]


async def _refusal(target: str) -> str:
    """Call without a token; return how the server answers."""
    async with AsyncMoodlineClient(target, retry=RetryPolicy(max_attempts=1)) as client:
        try:
            await client.capabilities()
        except MoodlineRpcError as error:
            return f"refused with {error.code.name}"
    return "answered"


async def _wait_for_interrupt(stopped: asyncio.Task[None]) -> None:
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    waiting = asyncio.create_task(interrupted.wait())
    await asyncio.wait((waiting, stopped), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
