from pathlib import Path

import pytest

from moodline.jobs.result_format import ResultFormat
from tests.unit.reports.harness import outcomes_of, write_results, write_vcons


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[ResultFormat, Path]:
    """The same results in all forms."""
    sources = tmp_path_factory.mktemp("sources")
    return write_results(tmp_path_factory.mktemp("results"), outcomes_of(write_vcons(sources)))
