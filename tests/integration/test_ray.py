"""Scoring on a Ray cluster: a real one of two workers on this machine."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moodline.jobs.analyzing import open_local
from moodline.jobs.engines.engine import ScoringEngine
from moodline.jobs.engines.ray_cluster import ENVIRONMENT, ray_engine
from moodline.jobs.engines.scoring_thread import scoring_thread
from moodline.jobs.folder import JobTerms, StartMode, open_job_folder
from moodline.jobs.inputs import find_inputs
from moodline.jobs.items import Reading, read_items
from moodline.jobs.outcomes import Outcome
from moodline.jobs.outputs.jsonl import JsonlOutput
from moodline.jobs.run import JobProgress, OutcomeListener, run_job
from moodline.transcripts import load_formats
from tests.integration.harness import assert_same, settings
from tests.integration.scoring import (
    RememberingEngine,
    children,
    records,
    running_job,
    score_with,
    write_inputs,
)

pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    # Ray Data sets its own deprecated settings to their defaults.
    pytest.mark.filterwarnings(r"ignore:.*is deprecated:DeprecationWarning:ray\.data\.context"),
]

COPIES = 3
ACTOR_TITLE = b"ray::MapWorker"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
        )
        yield cluster.address
        cluster.shutdown()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs") / "many", copies=COPIES)


@pytest.fixture(scope="module")
def here() -> Iterator[ScoringEngine]:
    """The model in this process, as that of a local scoring process."""
    with scoring_thread(lambda: open_local(settings()), max_in_flight=64) as opened:
        yield RememberingEngine(opened)


@pytest.fixture(scope="module")
def wanted(
    here: ScoringEngine, many: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("whole") / "out.jsonl"
    assert not score_with(here, many, out)
    return records(out.read_bytes())


class Killer(OutcomeListener):
    """Kills all actors once the first conversation is scored."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def take(self, outcome: Outcome, progress: JobProgress) -> None:
        if outcome.is_scored and not self.killed:
            self.killed = [one for one in descendants(os.getpid()) if is_actor(one)]
            for process_id in self.killed:
                os.kill(process_id, signal.SIGKILL)


def descendants(process_id: int) -> list[int]:
    own = children(process_id)
    return own + [below for child in own for below in descendants(child)]


def is_actor(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes().startswith(ACTOR_TITLE)
    except FileNotFoundError:
        return False


def test_a_cluster_whose_actors_die_gives_the_same(
    address: str, many: Path, wanted: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    output, killer = JsonlOutput(), Killer()
    with (
        ray_engine(settings(), address=address, actor_count=2) as engine,
        open_job_folder(out, JobTerms("", "", "", "jsonl", "")) as folder,
    ):
        items = read_items(find_inputs([str(many)]), Reading(load_formats()), {})
        run_job(items, engine, output, folder, listener=killer)
        folder.finish(output.assemble, out, side_files={})
    assert killer.killed
    assert_same(records(out.read_bytes()), wanted)


def test_after_the_death_of_the_driver_the_job_goes_on(
    address: str, here: ScoringEngine, many: Path, wanted: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    with running_job(many, out, "--engine", "ray", "--ray-address", address) as job:
        job.kill()
    with ray_engine(settings(), address=address, actor_count=1) as engine:
        assert not score_with(engine, many, out, mode=StartMode.RESUME)
    assert_same(records(out.read_bytes()), wanted)
