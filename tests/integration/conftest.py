"""One warm analyzer and one server for the whole session; servers of other settings are cheap."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio
import structlog
from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.app import find_artifact, open_analyzer
from moodline.artifact import Artifact
from moodline.engine import OnnxEncoder
from moodline.telemetry.logging import configure_logging
from moodline.telemetry.metrics import Metrics
from tests.integration.harness import HeldEngine, Served, serving, settings
from tests.integration.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def artifact() -> Artifact:
    return find_artifact(settings())


@pytest.fixture(scope="session")
def onnx_encoder(artifact: Artifact) -> OnnxEncoder:
    return OnnxEncoder(artifact, intra_op_threads=1)


@pytest.fixture
def engine(onnx_encoder: OnnxEncoder) -> HeldEngine:
    return HeldEngine(onnx_encoder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def analyzer(artifact: Artifact) -> AsyncIterator[ConversationAnalyzer]:
    def fail(error: BaseException) -> None:
        raise error

    metrics = Metrics(CollectorRegistry())
    async with open_analyzer(
        settings(), artifact=artifact, metrics=metrics, on_fatal=fail
    ) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def served(analyzer: ConversationAnalyzer) -> AsyncIterator[Served]:
    async with serving(analyzer) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def log_lines() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """Configure logging as the process does; call it to read the lines so far."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(level="DEBUG", log_format="json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
