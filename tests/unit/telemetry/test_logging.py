"""Logs: one renderer, and never a word of a customer."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from moodline.errors import SettingsError
from moodline.telemetry.logging import (
    LogFormat,
    RpcRecord,
    bind_record,
    configure_logging,
    current_record,
)

WORDS = "my card number is 4111"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def configured(log_format: LogFormat = "auto", *, stream: io.StringIO | None = None) -> io.StringIO:
    stream = io.StringIO() if stream is None else stream
    configure_logging(level="INFO", log_format=log_format, stream=stream)
    return stream


def test_off_terminal_every_line_is_json_ours_and_the_libraries() -> None:
    stream = configured()
    structlog.get_logger("ours").info("rpc", method="AnalyzeConversation", turn_count=3)
    logging.getLogger("library").warning("took %s s", 2)
    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert ours["event"] == "rpc"
    assert ours["turn_count"] == 3
    assert theirs["event"] == "took 2 s"
    assert set(theirs) == {"event", "level", "logger", "timestamp"}
    assert set(theirs) <= set(ours)


def test_on_a_terminal_lines_are_for_people() -> None:
    stream = configured(stream=Terminal())
    structlog.get_logger("ours").info("started", port=50051)
    assert "started" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_the_format_can_be_chosen_whatever_the_terminal() -> None:
    json_stream = configured("json", stream=Terminal())
    structlog.get_logger().info("started")
    assert json.loads(json_stream.getvalue())["event"] == "started"
    console_stream = configured("console")
    structlog.get_logger().info("started")
    assert not console_stream.getvalue().startswith("{")


def test_lines_below_the_level_are_dropped() -> None:
    stream = configured()
    structlog.get_logger().debug("noise")
    logging.getLogger("library").debug("noise")
    assert stream.getvalue() == ""


def test_python_warnings_become_log_lines() -> None:
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old interface", stacklevel=1)
    assert json.loads(stream.getvalue())["logger"] == "py.warnings"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_shows_types_and_places_but_neither_locals_nor_messages(
    log_format: LogFormat,
) -> None:
    stream = configured(log_format)
    text = WORDS
    try:
        try:
            int(text)
        except ValueError as error:
            raise KeyError(text) from error
    except KeyError:
        structlog.get_logger().exception("rpc_failed")
        logging.getLogger("library").exception("handler raised")
    lines = stream.getvalue()
    assert WORDS not in lines
    assert lines.count("ValueError") == 2
    assert lines.count("KeyError") == 2
    assert __file__ in lines


def test_the_message_of_our_own_errors_is_shown() -> None:
    stream = configured()
    structlog.get_logger().error("refused", exc_info=SettingsError("buckets must ascend"))
    assert "SettingsError: buckets must ascend" in stream.getvalue()


def test_an_id_cannot_move_the_cursor_of_the_operator() -> None:
    for log_format in ("json", "console"):
        stream = configured(log_format)
        structlog.get_logger().info("rpc", request_id="\x1b[2Jgone\u202e")
        assert "\x1b[2J" not in stream.getvalue()
        assert "\u202e" not in stream.getvalue()


def test_a_record_adds_up_stages() -> None:
    record = RpcRecord(turn_count=2)
    record.add_stage("engine", 0.25)
    record.add_stage("engine", 0.5)
    assert record.fields()["engine_s"] == 0.75
    assert record.fields()["turn_count"] == 2


async def test_each_call_has_a_record_of_its_own() -> None:
    async def call(turns: int) -> int:
        record = bind_record()
        await asyncio.sleep(0)
        current_record().turn_count += turns
        return record.turn_count

    assert list(await asyncio.gather(call(1), call(2))) == [1, 2]


def test_outside_of_a_call_a_record_is_for_nobody() -> None:
    current_record().turn_count += 1
    assert current_record().turn_count == 0
