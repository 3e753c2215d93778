"""How many processors this process may use, as its container sees it.

Inference runtimes size their thread pools by the host's cores; in a container with a quota that
means throttling instead of speed.

Source: Linux kernel, Documentation/admin-guide/cgroup-v2.rst ("cpu.max") and
Documentation/scheduler/sched-bwc.rst ("cpu.cfs_quota_us").
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")


def cpu_quota(
    *,
    cgroup_root: Path = _CGROUP_ROOT,
    own_cgroups: Path = _OWN_CGROUPS,
    affinity_count: int | None = None,
) -> int:
    """Return the number of threads that can run at the same time, at least 1.

    The least of the processors that the process may be scheduled on and the quotas of its control
    group and all groups above. A quota is rounded down, for a thread too many is throttled and
    makes the others of its pool wait.

    Args:
        cgroup_root: Where control groups are mounted.
        own_cgroups: The file that names the control groups of this process.
        affinity_count: Processors it may be scheduled on; `None` asks the system.
    """
    counts = [float(_affinity_count() if affinity_count is None else affinity_count)]
    for directory in _directories(cgroup_root, own_cgroups):
        quota = _v2_quota(directory) or _v1_quota(directory)
        if quota is not None:
            counts.append(quota)
    return max(1, int(min(counts)))


def _affinity_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _directories(cgroup_root: Path, own_cgroups: Path) -> Iterator[Path]:
    """Yield every directory that may limit the process, for both versions."""
    for line in _read(own_cgroups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = cgroup_root / controllers if controllers else cgroup_root
        group = mount / path.lstrip("/")
        # In a container the path may be the host's, of which only the root is visible here.
        yield from (group, *(p for p in group.parents if p.is_relative_to(mount)))


def _v2_quota(directory: Path) -> float | None:
    quota, _, period = _read(directory / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _v1_quota(directory: Path) -> float | None:
    quota = _read(directory / "cpu.cfs_quota_us").strip()
    period = _read(directory / "cpu.cfs_period_us").strip()
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    """Return processors, or None where there is no limit: `max`, -1 or no such file."""
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
