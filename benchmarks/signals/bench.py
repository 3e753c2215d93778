"""Runs everything and writes the figures and the page."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import describe_machine
from benchmarks.serving.bench import read_conversations
from benchmarks.signals.kills import Load, measure_kills
from benchmarks.signals.overhead import measure_overhead
from benchmarks.signals.tables import README, render
from moodline.app import find_artifact
from moodline.settings import load_settings

RESULTS: Final = Path(__file__).parent / "results.json"


async def measure(arguments: argparse.Namespace) -> None:
    """Measure what the arguments ask for; the rest stays as it was measured before."""
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    command = " ".join(["python -m benchmarks.signals", *sys.argv[1:]])
    commands: dict[str, str] = before.get("commands", {})
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "model": find_artifact(load_settings({})).model_version,
        "commands": commands,
        "seed": arguments.seed,
        "kills": before.get("kills", {}),
        "overhead": before.get("overhead", {}),
    }
    rng = random.Random(arguments.seed)
    conversations = rng.sample(read_conversations(), arguments.conversations)
    load = Load(arguments.kills, arguments.streams, arguments.max_turns, arguments.turn_pause_s)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        for store in arguments.store:
            results["kills"][store] = await measure_kills(
                conversations, store=store, load=load, seed=arguments.seed, log=log
            )
            commands[store] = command
            write(results)
        if arguments.rounds:
            results["overhead"] = await measure_overhead(
                conversations, rounds=arguments.rounds, folder=Path(folder), log=log
            )
            commands["overhead"] = command
            write(results)
        print(log.read_text(encoding="utf-8")[-4000:], file=sys.stderr)


def write(results: dict[str, Any]) -> None:
    """Write what there is so far, since all of it takes long."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    README.write_text(render(results), encoding="utf-8")


def main() -> None:
    """Measure, print, and write the raw figures and the page beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument(
        "--store", nargs="*", choices=("sqlite", "postgresql"), default=("sqlite", "postgresql")
    )
    parser.add_argument("--streams", type=int, default=48, help="live streams at a time")
    parser.add_argument("--conversations", type=int, default=80, help="different ones")
    parser.add_argument("--max-turns", type=int, default=500, help="answered before a kill")
    parser.add_argument("--turn-pause-s", type=float, default=0.15, help="mean, of a stream")
    parser.add_argument("--rounds", type=int, default=5, help="of the cost; 0 to leave it as it is")
    asyncio.run(measure(parser.parse_args()))
    print(README.read_text(encoding="utf-8"))
