"""Signals as JSON values, for whoever keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from moodline.signals.domain import Signal

FORMAT: Final = 1
"""Version of the JSON form; rises when an older program could not read it any more."""

_SIGNAL: Final = TypeAdapter(Signal)


def signal_to_json(signal: Signal) -> dict[str, Any]:
    """Return the JSON value of a signal."""
    value: dict[str, Any] = _SIGNAL.dump_python(signal, mode="json")
    return value


def signal_from_json(value: Mapping[str, Any]) -> Signal:
    """Return the signal of a JSON value.

    Raises:
        ValueError: If it is none.
    """
    return _SIGNAL.validate_python(value)
