"""Traces are optional; asking for them without the extra says what to install."""

from __future__ import annotations

import sys

import pytest

from moodline.errors import SettingsError
from moodline.telemetry.tracing import open_tracing


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"moodline\[otel\]"):
        open_tracing(service_version="1")
