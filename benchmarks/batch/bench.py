"""Measures `moodline score` as a process of its own, on our own conversations.

- its rate against the bare engine on the same turns in the same run: both networks, no tokenizer,
  no scores, no files. Loading the model is left out of both; rounds of the two alternate, so that
  a busy host hits both;
- the rate with 1 and with 2 processes, and with 1 process of 2 threads;
- the most memory of all its processes together, on an input and on one ten times as large;
- kills at random moments: whether the results are those of a run that nobody disturbed;
- the samples of all formats: how many are read as expected.

The cache of repeated turns is off for the rates: the texts repeat, real ones do so less.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.batch.parsing import SAMPLES, parse_samples
from benchmarks.batch.tables import README, render
from benchmarks.machine import describe_machine
from benchmarks.serving.bench import BareEngine, read_conversations
from moodline.app import find_artifact
from moodline.client import Conversation
from moodline.cpu_quota import cpu_quota
from moodline.jobs.engines.local import default_process_count, local_engine
from moodline.jobs.folder import JobTerms, open_job_folder
from moodline.jobs.inputs import find_inputs
from moodline.jobs.items import Reading, read_items
from moodline.jobs.outputs.jsonl import JsonlOutput
from moodline.jobs.run import run_job
from moodline.settings import load_settings
from moodline.transcripts import load_formats

RESULTS: Final = Path(__file__).parent / "results.json"
SAMPLE_INTERVAL_S: Final = 0.05


def write_input(path: Path, conversations: list[Conversation], *, copies: int) -> int:
    """Write conversations as JSON lines, each copy under ids of its own.

    Returns:
        Turns written.
    """
    turn_count = 0
    with path.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            for conversation in conversations:
                record = {
                    "conversation_id": f"{conversation.conversation_id}-{copy}",
                    "language": conversation.language,
                    "turns": [{"role": t.role, "text": t.text} for t in conversation.turns],
                }
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                turn_count += len(conversation.turns)
    return turn_count


def job_seconds(source: Path, folder: Path, *, process_count: int, threads: int) -> float:
    """Score a file with warm processes.

    Returns:
        Seconds, from the first byte read to the output in its place.
    """
    settings = load_settings(
        {
            "MOODLINE_BATCHING__MAX_CACHE_ENTRIES": "0",
            "MOODLINE_ENGINE__INTRA_OP_THREADS": str(threads),
        }
    )
    out = folder / f"rate-{time.monotonic_ns()}.jsonl"
    output = JsonlOutput()
    with local_engine(settings, process_count=process_count) as engine:
        started_s = time.monotonic()
        with open_job_folder(out, JobTerms("", "", "", "jsonl", "")) as job:
            items = read_items(find_inputs([str(source)]), Reading(load_formats()), {})
            run_job(items, engine, output, job)
            if job.counts.failed_count:
                raise SystemExit(f"{job.counts.failed_count} conversations failed")
            job.finish(output.assemble, out, side_files={})
        seconds = time.monotonic() - started_s
    out.unlink()
    return seconds


def measure_rates(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare with the bare engine, round by round."""
    conversations = read_conversations()[: arguments.conversations]
    source = folder / "rate.jsonl"
    turn_count = write_input(source, conversations, copies=arguments.copies)
    bare = BareEngine([c for _ in range(arguments.copies) for c in conversations])
    bare.run()
    quota = cpu_quota()
    processes = max(2, quota)
    alone, side_by_side = "1 process of 1 thread", f"{processes} processes of 1 thread"
    shapes = {
        alone: (1, 1),
        f"1 process of {processes} threads": (1, processes),
        side_by_side: (processes, 1),
    }
    rounds: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        one = {"bare engine": turn_count / bare.run()}
        for name, (process_count, threads) in shapes.items():
            seconds = job_seconds(source, folder, process_count=process_count, threads=threads)
            one[name] = turn_count / seconds
        rounds.append(one)
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    conversation_count = len(conversations) * arguments.copies
    return {
        "turn_count": turn_count,
        "conversation_count": conversation_count,
        "turns_per_s_rounds": [
            {name: round(rate, 1) for name, rate in one.items()} for one in rounds
        ],
        "turns_per_s": {name: round(rate, 1) for name, rate in medians.items()},
        "conversations_per_s": {
            name: round(rate * conversation_count / turn_count, 1) for name, rate in medians.items()
        },
        "ratio_to_bare_engine": {
            name: round(statistics.median(one[name] / one["bare engine"] for one in rounds), 3)
            for name in shapes
        },
        "scaling": {
            "process_count": processes,
            "factor": round(statistics.median(one[side_by_side] / one[alone] for one in rounds), 3),
        },
    }


def score_command(source: Path, out: Path, *options: str) -> list[str]:
    """The command line that is measured."""
    return [sys.executable, "-m", "moodline", "score", str(source), "-o", str(out), *options]


def resident_bytes(process_id: int) -> int:
    """Memory of a process and all below it, on Linux; 0 once it has ended."""
    try:
        own = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
        children = [
            int(child)
            for task in Path(f"/proc/{process_id}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return own * os.sysconf("SC_PAGE_SIZE") + sum(map(resident_bytes, children))


def peak_bytes(source: Path, out: Path) -> int:
    """Score a file and return the most memory that was in use."""
    with subprocess.Popen(score_command(source, out), stderr=subprocess.DEVNULL) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(SAMPLE_INTERVAL_S)
    if process.returncode:
        raise SystemExit(f"moodline score exited with {process.returncode}")
    out.unlink()
    return peak


def measure_memory(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare an input with one ten times as large."""
    conversations = read_conversations()[: arguments.conversations]
    inputs = []
    for factor in (1, 10):
        source = folder / f"memory-{factor}.jsonl"
        copies = arguments.memory_copies * factor
        turn_count = write_input(source, conversations, copies=copies)
        peak = peak_bytes(source, folder / "memory.out.jsonl")
        inputs.append(
            {
                "input_bytes": source.stat().st_size,
                "turn_count": turn_count,
                "peak_mb": round(peak / 1e6, 1),
            }
        )
    return {"process_count": default_process_count(), "inputs": inputs}


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of a job that was killed again and again."""

    kill_count: int
    fruitless_kill_count: int
    """Kills before anything more was finished, as while the model is loaded."""
    conversation_count: int
    lost_count: int
    doubled_count: int
    largest_difference: float


def measure_recovery(folder: Path, arguments: argparse.Namespace) -> Recovery:
    """Kill a job at random moments, and compare its results with those of a run left alone.

    A life of the job is as long as a random share of three times what it takes to finish the first
    part: a third of the kills fall into the loading of the model, the others into the work.
    """
    rng = random.Random(arguments.seed)
    conversations = read_conversations()[: arguments.conversations]
    source = folder / "kills.jsonl"
    write_input(source, conversations, copies=arguments.kill_copies)
    options = ("--resume", "--part-size", "20")
    whole, out = folder / "whole.jsonl", folder / "killed.jsonl"
    first_part_s = 0.0
    with subprocess.Popen(
        score_command(source, whole, *options), stderr=subprocess.DEVNULL
    ) as process:
        started_s = time.monotonic()
        while process.poll() is None:
            if not first_part_s and journal_bytes(whole):
                first_part_s = time.monotonic() - started_s
            time.sleep(SAMPLE_INTERVAL_S)
    if process.returncode or not first_part_s:
        raise SystemExit("the job that is left alone failed, or was too short to be killed")
    kill_count = fruitless_count = 0
    while not out.exists():
        before = journal_bytes(out)
        with subprocess.Popen(
            score_command(source, out, *options), stderr=subprocess.DEVNULL
        ) as process:
            if kill_count < arguments.kills:
                try:
                    process.wait(timeout=rng.uniform(0, 3 * first_part_s))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    kill_count += 1
                    fruitless_count += journal_bytes(out) == before
            process.wait()
    return compared(whole, out, kill_count=kill_count, fruitless_count=fruitless_count)


def journal_bytes(out: Path) -> int:
    """Size of the list of parts that a job has finished; 0 before the first."""
    journal = out.with_name(f"{out.name}.job") / "journal.jsonl"
    return journal.stat().st_size if journal.exists() else 0


def compared(whole: Path, out: Path, *, kill_count: int, fruitless_count: int) -> Recovery:
    """Compare the results by conversation."""
    wanted = [json.loads(line) for line in whole.open(encoding="utf-8")]
    found = [json.loads(line) for line in out.open(encoding="utf-8")]
    scores = {one["conversation_id"]: sentiment_score(one) for one in found}
    present = [one for one in wanted if one["conversation_id"] in scores]
    return Recovery(
        kill_count=kill_count,
        fruitless_kill_count=fruitless_count,
        conversation_count=len(wanted),
        lost_count=len(wanted) - len(present),
        doubled_count=len(found) - len(scores),
        largest_difference=max(
            abs(sentiment_score(one) - scores[one["conversation_id"]]) for one in present
        ),
    )


def sentiment_score(record: dict[str, Any]) -> float:
    """Sentiment of a result; 0 where no customer speaks."""
    score: float = record.get("sentiment", {}).get("score", 0.0)
    return score


PARTS: Final[Mapping[str, Callable[[Path, argparse.Namespace], Any]]] = {
    "rates": measure_rates,
    "memory": measure_memory,
    "recovery": lambda folder, arguments: asdict(measure_recovery(folder, arguments)),
    "parsing": lambda _, arguments: measure_parsing(arguments.formats_root),
}


def measure_parsing(formats_root: Path | None) -> dict[str, Any]:
    """Read our own samples, and those of another folder."""
    folders = {"ours": SAMPLES} | ({"formats root": formats_root} if formats_root else {})
    return {
        name: [asdict(sample) for sample in parse_samples(folder)]
        for name, folder in folders.items()
    }


def without_paths(arguments: list[str]) -> list[str]:
    """Return the arguments for others to repeat: folders are everyone's own."""
    return [Path(one).name if "/" in one else one for one in arguments]


def main() -> None:
    """Measure, print, and write the raw figures and the page beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conversations", type=int, help="of ours, the first so many; else all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=1, help="of the conversations, for rates")
    parser.add_argument("--memory-copies", type=int, default=1, help="of the smaller input")
    parser.add_argument("--kill-copies", type=int, default=1, help="of the job that is killed")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--formats-root", type=Path, help="more samples, with `expected` in it")
    parser.add_argument("--only", choices=PARTS, help="one part; the others stay as they were")
    parser.add_argument("--output", type=Path, default=RESULTS.parent)
    arguments = parser.parse_args()
    results_file = arguments.output / RESULTS.name
    results: dict[str, Any] = {}
    if arguments.only and results_file.exists():
        results = json.loads(results_file.read_bytes())
    command = "python -m benchmarks.batch " + shlex.join(without_paths(sys.argv[1:]))
    results |= {
        "machine": describe_machine(),
        "model": find_artifact(load_settings({})).model_version,
        "seed": arguments.seed,
    }
    commands = results.setdefault("commands", {})
    with tempfile.TemporaryDirectory() as name:
        for part in [arguments.only] if arguments.only else PARTS:
            results[part] = PARTS[part](Path(name), arguments)
            commands[part] = command
    text = json.dumps(results, indent=1)
    results_file.write_text(text + "\n", encoding="utf-8")
    if results.keys() >= PARTS.keys():
        (arguments.output / README.name).write_text(render(results), encoding="utf-8")
    print(text)
