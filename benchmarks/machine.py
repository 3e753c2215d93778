"""What a benchmark ran on."""

from __future__ import annotations

import platform
from pathlib import Path

import onnxruntime

from moodline.cpu_quota import cpu_quota


def describe_machine() -> dict[str, str | int]:
    """Processor, processors that may be used, and versions."""
    return {
        "processor": _processor(),
        "cpu_quota": cpu_quota(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
