"""The number of threads a container really has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from moodline.cpu_quota import cpu_quota


def quota(tmp_path: Path, own_cgroups: str, files: dict[str, str], affinity_count: int = 16) -> int:
    own = tmp_path / "own"
    own.write_text(own_cgroups)
    root = tmp_path / "cgroup"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return cpu_quota(cgroup_root=root, own_cgroups=own, affinity_count=affinity_count)


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),  # rounded down: the third thread would be throttled
        ("50000 100000\n", 1),
        ("max 100000\n", 16),
        ("9900000 100000\n", 16),  # no more than it may be scheduled on
        ("", 16),
        ("nonsense", 16),
        ("200000 0\n", 16),
    ],
)
def test_version_2(tmp_path: Path, cpu_max: str, expected: int) -> None:
    assert quota(tmp_path, "0::/\n", {"cpu.max": cpu_max}) == expected


def test_version_2_counts_the_tightest_group_above(tmp_path: Path) -> None:
    files = {"pod/cpu.max": "300000 100000", "pod/app/cpu.max": "max 100000"}
    assert quota(tmp_path, "0::/pod/app\n", files) == 3


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_version_1(tmp_path: Path, controllers: str) -> None:
    files = {
        f"{controllers}/app/cpu.cfs_quota_us": "400000\n",
        f"{controllers}/app/cpu.cfs_period_us": "100000\n",
    }
    lines = f"5:memory:/other\n4:{controllers}:/app\n0::/\n"
    assert quota(tmp_path, lines, files) == 4


def test_version_1_in_a_container_that_sees_only_its_own_root(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert quota(tmp_path, "4:cpu:/docker/0123abcd\n", files) == 2


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert quota(tmp_path, "4:cpu:/\n", files) == 16


def test_without_control_groups_the_affinity_decides(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert cpu_quota(cgroup_root=nowhere, own_cgroups=nowhere, affinity_count=3) == 3


def test_on_this_machine_it_is_a_number_of_its_processors() -> None:
    assert 1 <= cpu_quota() <= (os.cpu_count() or 1)
