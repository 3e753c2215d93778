"""The steps of the Dockerfile, run without a Docker engine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_step(
    name: str, *arguments: object, find_links: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script under docker/ that may take packages from `find_links`, never from an index."""
    return subprocess.run(
        [ROOT / "docker" / name, *map(str, arguments)],
        cwd=ROOT,
        env={
            **os.environ,
            "LC_ALL": "C",
            "PIP_FIND_LINKS": str(find_links or ""),
            "PIP_NO_INDEX": "1",
            "PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Make a folder that is an artifact as far as checksums go."""
    content = b"weights"
    (tmp_path / "encoder.onnx").write_bytes(content)
    record = {"sha256": hashlib.sha256(content).hexdigest(), "byte_count": len(content)}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"encoder.onnx": record}}))
    return tmp_path


@pytest.fixture(scope="module")
def code_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    step = run_step("build_wheel.sh", sys.prefix, ROOT, folder)
    assert step.returncode == 0, step.stderr
    (wheel,) = folder.glob("moodline-*.whl")
    return wheel


def test_an_intact_model_is_accepted(model: Path) -> None:
    assert run_step("verify_model.sh", model).returncode == 0


def test_a_changed_model_file_is_refused(model: Path) -> None:
    (model / "encoder.onnx").write_bytes(b"other weights")
    step = run_step("verify_model.sh", model)
    assert step.returncode != 0
    assert "encoder.onnx: FAILED" in step.stdout


def test_a_missing_model_file_is_refused(model: Path) -> None:
    (model / "encoder.onnx").unlink()
    assert run_step("verify_model.sh", model).returncode != 0


def test_the_environment_takes_no_package_without_a_checksum(
    code_wheel: Path, tmp_path: Path
) -> None:
    lock = tmp_path / "some.lock"
    version = code_wheel.name.split("-")[1]
    lock.write_text(f"moodline=={version}\n")
    step = run_step(
        "install_dependencies.sh", tmp_path / "environment", lock, find_links=code_wheel.parent
    )
    assert step.returncode != 0
    assert "Hashes are required" in step.stderr


def test_the_wheel_of_the_image_holds_the_code_without_the_model(code_wheel: Path) -> None:
    names = zipfile.ZipFile(code_wheel).namelist()
    assert "moodline/v1/analysis_service_pb2.py" in names
    assert "moodline/py.typed" in names
    assert all(name.startswith(("moodline/", "moodline-")) for name in names)
    assert not [name for name in names if name.startswith("moodline/artifacts/")]


def test_the_wheel_installs_beside_its_dependencies(code_wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    site_packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    # Stands for install_dependencies.sh, which needs an index: the packages of this environment.
    dependencies = Path(sys.prefix) / site_packages
    (environment / site_packages / "dependencies.pth").write_text(f"{dependencies}\n")
    # Python 3.11 seeds one that is older than the one of the dependencies.
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"], check=True)
    step = run_step("install_wheel.sh", environment, code_wheel.parent)
    assert step.returncode == 0, step.stdout + step.stderr
    where = subprocess.run(
        [python, "-c", "import moodline; print(moodline.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(environment)
    assert (environment / "bin" / "moodline").is_file()


def test_the_image_runs_as_a_number_and_answers_health_checks() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER \d+:\d+$", dockerfile, re.MULTILINE)
    assert 'ENTRYPOINT ["moodline", "serve"]' in dockerfile
    assert 'CMD ["moodline", "probe"]' in dockerfile
    assert re.findall(r"^FROM (?!base )(\S+)", dockerfile, re.MULTILINE) == [
        "python:3.11.14-slim-bookworm"
    ]


def test_the_image_copies_only_what_exists_and_is_not_ignored() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text()
    kept = [line[1:] for line in ignored.splitlines() if line.startswith("!")]
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(Path(source).is_relative_to(folder) for folder in kept), source
