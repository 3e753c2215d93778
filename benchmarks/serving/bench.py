"""Measures a real server process from a client process, over loopback.

- one live stream and nothing else: the time from sending a turn to its result;
- many live streams with open-loop Poisson arrivals (a closed loop would hide the tail): the same;
- one long stream: the time of its first and of its last turns, and what the server's memory grew;
- batch throughput against the bare engine on the same turns in the same run: both networks, no
  tokenizer, no scores, no gRPC. Rounds of the two alternate, so that a busy host hits both.

The cache of repeated turns is off throughout: the texts repeat, real ones do so less. Signals are
kept in a new SQLite file, under ids that no other stream has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.streaming import turn_seconds
from moodline.app import find_artifact
from moodline.artifact import TOKENIZER_FILE
from moodline.batching.padding import pad_batch
from moodline.batching.planner import BatchPolicy
from moodline.client import AsyncMoodlineClient, Conversation, MoodlineRpcError, check_health
from moodline.cpu_quota import cpu_quota
from moodline.encoding import TurnEncoder
from moodline.engine import OnnxConversationHead, OnnxEncoder
from moodline.settings import load_settings

DATA_DIR: Final = Path(__file__).parents[2] / "models" / "data"
RESULTS: Final = Path(__file__).parent / "results.json"
PORT: Final = 50971
ADDRESS: Final = f"127.0.0.1:{PORT}"
CONVERSATION_COUNT: Final = 120
STREAM_COUNT: Final = 100
WARM_UP_TURNS: Final = 30
LONG_STREAM_ROUNDS: Final = 10
"""The first and the last round of one long stream are the same words."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of streamed turns, from sending to result."""

    turn_count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed_count: int


def read_conversations() -> list[Conversation]:
    """Our own labelled conversations as requests."""
    conversations = []
    for file in sorted(DATA_DIR.glob("conversations_*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            conversation = Conversation(conversation_id=row["id"], language=row["lang"])
            for index, turn in enumerate(row["turns"]):
                conversation.turns.add(
                    turn_id=str(index), role=turn["speaker"], text=turn["text"], is_final=True
                )
            conversations.append(conversation)
    return conversations


def latency(seconds: Sequence[float], failed_count: int) -> Latency:
    """Percentiles of one measurement."""
    p50, p95, p99 = np.percentile(np.array(seconds) * 1000, [50, 95, 99])
    return Latency(
        len(seconds), round(float(p50), 2), round(float(p95), 2), round(float(p99), 2), failed_count
    )


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    """A server in a process of its own; gives its process id."""
    folder = tempfile.TemporaryDirectory()
    environment = {
        **os.environ,
        "MOODLINE_SERVER__PORT": str(PORT),
        "MOODLINE_AUTH__MODE": "none",
        "MOODLINE_BATCHING__MAX_CACHE_ENTRIES": "0",
        "MOODLINE_TELEMETRY__LOG_LEVEL": "WARNING",
        "MOODLINE_STORE__URL": f"sqlite:///{folder.name}/signals.db",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moodline", "serve", env=environment
    )
    try:
        for _ in range(240):
            if process.returncode is not None:
                raise SystemExit(f"the server exited with {process.returncode}")
            try:
                if check_health(ADDRESS, timeout_s=1.0) == "SERVING":
                    break
            except MoodlineRpcError:
                pass
            await asyncio.sleep(0.25)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), timeout=60)
        folder.cleanup()


async def measure_stream_alone(
    client: AsyncMoodlineClient, conversations: Sequence[Conversation]
) -> Latency:
    """One stream, one turn at a time."""
    seconds = [
        taken_s
        for one in conversations
        for taken_s in await turn_seconds(client, one, conversation_id=one.conversation_id)
    ]
    return latency(seconds[WARM_UP_TURNS:], 0)


async def measure_live_streams(
    client: AsyncMoodlineClient,
    conversations: Sequence[Conversation],
    *,
    turns_per_s: float,
    duration_s: float,
    rng: random.Random,
) -> Latency:
    """Keep `STREAM_COUNT` streams open that share a Poisson stream of turns.

    A turn is timed from when it was due, so that a late sender does not look fast.
    """
    seconds: list[float] = []
    failed = 0
    end_s = time.monotonic() + duration_s

    async def live(index: int) -> None:
        nonlocal failed
        due_s = time.monotonic() + rng.expovariate(turns_per_s / STREAM_COUNT)
        turns = [t for c in rng.sample(list(conversations), len(conversations)) for t in c.turns]
        async with client.stream(
            f"live-{turns_per_s:.0f}-{index}", timeout_s=duration_s * 4
        ) as stream:
            number = 0
            while due_s < end_s:
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                turn = turns[number % len(turns)]
                turn.turn_id = str(number)
                try:
                    await stream.send(turn)
                    await stream.receive()
                except MoodlineRpcError:
                    failed += 1
                    return
                seconds.append(time.monotonic() - due_s)
                number += 1
                due_s += rng.expovariate(turns_per_s / STREAM_COUNT)
            await stream.finish()

    await asyncio.gather(*(live(index) for index in range(STREAM_COUNT)))
    return latency(seconds, failed)


async def measure_long_stream(
    client: AsyncMoodlineClient, conversations: Sequence[Conversation], *, process_id: int
) -> dict[str, float]:
    """One stream of `LONG_STREAM_ROUNDS` times all turns, one turn at a time."""
    turns = [turn for conversation in conversations for turn in conversation.turns]
    seconds = []
    async with client.stream("long", timeout_s=3600.0) as stream:
        for number in range(LONG_STREAM_ROUNDS * len(turns)):
            if number == len(turns):
                early_bytes = resident_bytes(process_id)
            turn = turns[number % len(turns)]
            turn.turn_id = str(number)
            started_s = time.monotonic()
            await stream.send(turn)
            await stream.receive()
            seconds.append(time.monotonic() - started_s)
        late_bytes = resident_bytes(process_id)
        await stream.finish()
    part = len(turns)
    return {
        "turn_count": len(seconds),
        f"first_{part}_p50_ms": round(statistics.median(seconds[:part]) * 1000, 2),
        f"last_{part}_p50_ms": round(statistics.median(seconds[-part:]) * 1000, 2),
        "server_growth_mb_over_the_last_nine_tenths": round((late_bytes - early_bytes) / 1e6, 1),
    }


def resident_bytes(process_id: int) -> int:
    """Memory of a process on Linux."""
    pages = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class BareEngine:
    """Both networks on prepared windows, in the batches that the service would make at best."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        """Tokenize beforehand."""
        artifact = find_artifact(load_settings({}))
        window_tokens = artifact.manifest.encoder.window_tokens
        tokenizer = TurnEncoder(artifact.directory / TOKENIZER_FILE, window_tokens=window_tokens)
        self._encoder = OnnxEncoder(artifact, intra_op_threads=max(1, int(cpu_quota())))
        self._head = OnnxConversationHead(artifact)
        self._turn_counts = [len(c.turns) for c in conversations]
        encoded = tokenizer.encode([t.text for c in conversations for t in c.turns])
        self._windows = sorted(
            (w for e in encoded for w in e.windows), key=lambda w: len(w.input_ids)
        )
        self.token_count = sum(len(w.input_ids) for w in self._windows)
        self.model_version = artifact.model_version

    def run(self) -> float:
        """Compute everything once.

        Returns:
            Seconds.
        """
        policy = BatchPolicy()
        started_s = time.monotonic()
        position = 0
        width = 0
        while position < len(self._windows):
            length = policy.padded_length(len(self._windows[position].input_ids))
            rows = [
                w
                for w in self._windows[position : position + policy.max_rows(length)]
                if len(w.input_ids) <= length
            ]
            batch = pad_batch(rows, length)
            width = self._encoder.encode(batch.input_ids, batch.attention_mask).vectors.shape[1]
            position += len(rows)
        for count in self._turn_counts:
            self._head.step(
                np.zeros((count, width), np.float32),
                np.zeros(count, np.int64),
                self._head.initial_state(),
            )
        return time.monotonic() - started_s


async def service_seconds(
    client: AsyncMoodlineClient, conversations: Sequence[Conversation]
) -> float:
    """Score everything through batch calls, several under way at once.

    Returns:
        Seconds.
    """
    parts = [conversations[i::4] for i in range(4)]
    started_s = time.monotonic()

    async def send(part: Sequence[Conversation]) -> None:
        async for outcome in client.analyze_batch(part):
            if isinstance(outcome, MoodlineRpcError):
                raise outcome

    await asyncio.gather(*(send(part) for part in parts))
    return time.monotonic() - started_s


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run everything."""
    rng = random.Random(arguments.seed)
    conversations = rng.sample(read_conversations(), CONVERSATION_COUNT)
    bulk = [
        Conversation.FromString(c.SerializeToString())
        for _ in range(arguments.repeats)
        for c in conversations
    ]
    for index, conversation in enumerate(bulk):
        conversation.conversation_id = f"bulk-{index}"
    engine = BareEngine(bulk)
    turn_count = sum(len(c.turns) for c in bulk)
    engine.run()
    async with server() as process_id, AsyncMoodlineClient(ADDRESS) as client:
        alone = await measure_stream_alone(client, conversations)
        await service_seconds(client, bulk)
        rounds = []
        for _ in range(arguments.rounds):
            bare_s = engine.run()
            service_s = await service_seconds(client, bulk)
            rounds.append(
                {
                    "engine_turns_per_s": round(turn_count / bare_s, 1),
                    "service_turns_per_s": round(turn_count / service_s, 1),
                    "ratio": round(bare_s / service_s, 3),
                }
            )
        long = await measure_long_stream(client, conversations, process_id=process_id)
        capacity = statistics.median(r["service_turns_per_s"] for r in rounds)
        live = {}
        for share in (0.1, 0.3, 0.5, 0.7):
            live[f"{share:.0%} of capacity, {share * capacity:.0f} turns/s"] = asdict(
                await measure_live_streams(
                    client,
                    conversations,
                    turns_per_s=share * capacity,
                    duration_s=arguments.duration_s,
                    rng=rng,
                )
            )
    return {
        "machine": describe_machine(),
        "model": engine.model_version,
        "command": "python -m benchmarks.serving " + " ".join(sys.argv[1:]),
        "seed": arguments.seed,
        "tokens_per_turn": round(engine.token_count / turn_count, 1),
        "stream_alone": asdict(alone),
        "long_stream": long,
        "throughput_rounds": rounds,
        "throughput_ratio_median": statistics.median(r["ratio"] for r in rounds),
        f"live_streams_{STREAM_COUNT}": live,
    }


def main() -> None:
    """Measure, print, and write the raw figures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=4, help="copies of the conversations")
    parser.add_argument("--duration-s", type=float, default=20.0, help="of each rate of streams")
    arguments = parser.parse_args()
    results = asyncio.run(measure(arguments))
    text = json.dumps(results, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)
