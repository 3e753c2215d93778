"""What is built and locked, as a user gets it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def locked_names(lock: str) -> set[str]:
    """Read the names of the packages that a lock file pins."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))


def required_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", requirement)[0].lower() for requirement in requirements}


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def test_the_wheel_carries_the_model(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--no-index", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("moodline-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for file in ("manifest.json", "encoder.onnx", "conversation.onnx", "tokenizer.json"):
        assert f"moodline/artifacts/moodline-base/{file}" in names


@pytest.mark.parametrize("lock", ["runtime", "otel"])
def test_no_training_library_is_locked_for_serving(lock: str) -> None:
    assert not locked_names(lock) & {"torch", "transformers", "onnx", "scikit-learn"}


def test_every_dependency_is_locked(project: dict[str, object]) -> None:
    dependencies = project["dependencies"]
    assert isinstance(dependencies, list)
    assert required_names(dependencies) <= locked_names("runtime")


def test_locks_name_no_place_to_fetch_from() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        assert not re.search(r"https?:|file:|^-", lock.read_text(), re.MULTILINE), lock.name
