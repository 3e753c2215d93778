"""The Ray engine where there is no Ray, or no cluster."""

import importlib.util

import pytest

from moodline.jobs.engines.ray_cluster import ray_engine
from moodline.jobs.errors import JobError
from moodline.settings import load_settings


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with (
        pytest.raises(JobError, match=r"pip install 'moodline\[ray\]'"),
        ray_engine(load_settings({})),
    ):
        pytest.fail("There is no Ray.")


def test_a_cluster_that_is_not_there_is_named() -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    with (
        pytest.raises(JobError, match=r"--ray-address 127\.0\.0\.1:1: no cluster"),
        ray_engine(load_settings({}), address="127.0.0.1:1"),
    ):
        pytest.fail("There is no cluster.")
