"""Structured logs: one renderer for ours and for the libraries', JSON off-terminal.

Nothing is configured at import; the CLI calls `configure_logging` once.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TextIO

import structlog

from moodline.errors import MoodlineError

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "json", "console"]

_TEXT_FREE_ERRORS: Final = (MoodlineError, OSError)
"""Errors whose message cannot quote a conversation: ours by rule, the system's by nature."""

_TALKATIVE_LIBRARIES: Final = ("httpcore2",)
"""They log at DEBUG what they are given, such as the headers of answers."""


@dataclass(slots=True)
class RpcRecord:
    """What one call adds up for its canonical log line: counts and ids, never text.

    Attributes:
        request_id: The caller's id of the call, or ours; answers carry it.
        turn_count: Turns received.
        window_count: Windows that the turns became.
        cached_window_count: Those of them that were answered from the cache.
        token_count: Tokens that the engine had to compute.
        max_batch_rows: Rows of the largest batch that a window of the call was in.
        model_version: Version of the model that answered.
        failed_item_count: Items of a batch that got a status instead of a result.
        stage_s: Seconds by stage, added up over the turns of the call.
    """

    request_id: str = ""
    turn_count: int = 0
    window_count: int = 0
    cached_window_count: int = 0
    token_count: int = 0
    max_batch_rows: int = 0
    model_version: str = ""
    failed_item_count: int = 0
    stage_s: dict[str, float] = field(default_factory=dict)

    def add_stage(self, stage: str, duration_s: float) -> None:
        """Add time spent in one stage, in seconds."""
        self.stage_s[stage] = self.stage_s.get(stage, 0.0) + duration_s

    def fields(self) -> dict[str, object]:
        """Return the fields of the log line; a stage becomes `<stage>_s`."""
        return {
            "request_id": self.request_id,
            "turn_count": self.turn_count,
            "window_count": self.window_count,
            "cached_window_count": self.cached_window_count,
            "token_count": self.token_count,
            "max_batch_rows": self.max_batch_rows,
            "model_version": self.model_version,
            "failed_item_count": self.failed_item_count,
            **{f"{stage}_s": round(seconds, 6) for stage, seconds in self.stage_s.items()},
        }


_bound_record: ContextVar[RpcRecord | None] = ContextVar("moodline_rpc_record", default=None)


def bind_record() -> RpcRecord:
    """Bind a fresh record to the current call and return it.

    Every call runs in a task, and so in a context, of its own; nothing needs to be unbound.
    """
    record = RpcRecord()
    _bound_record.set(record)
    return record


def current_record() -> RpcRecord:
    """Return the record of the current call; outside of calls one that nobody reads."""
    return _bound_record.get() or RpcRecord()


def configure_logging(
    *, level: str, log_format: LogFormat = "auto", stream: TextIO | None = None
) -> None:
    """Send all logs of the process, the libraries' included, through one renderer.

    Args:
        level: Lowest level shown, e.g. `INFO`.
        log_format: `auto` is `console` on a terminal and `json` elsewhere.
        stream: Where lines go; standard error by default, since results go to standard output.
    """
    stream = sys.stderr if stream is None else stream
    is_console = log_format == "console" or (log_format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _render_exception,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            # Ids come from callers; as literals they cannot move the operator's cursor.
            repr_native_str=True,
            exception_formatter=structlog.dev.plain_traceback,
        )
        if is_console
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _TALKATIVE_LIBRARIES:
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _render_exception(_logger: WrappedLogger, _name: str, event_dict: EventDict) -> EventDict:
    """Replace `exc_info` by its types and frames, without locals and without foreign messages.

    A message such as `invalid literal: '...'` quotes what a library was given, which may be what
    a customer said.
    """
    exc_info = event_dict.pop("exc_info", None)
    if isinstance(exc_info, tuple):
        error = exc_info[1]
    elif isinstance(exc_info, BaseException):
        error = exc_info
    else:
        error = sys.exc_info()[1] if exc_info else None
    if error is not None:
        event_dict["exception"] = "\n".join(_text_free_lines(error))
    return event_dict


def _text_free_lines(error: BaseException) -> list[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [*_text_free_lines(cause), "which led to:"] if cause is not None else []
    frames = traceback.extract_tb(error.__traceback__)
    lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    kind = type(error).__qualname__
    lines.append(f"{kind}: {error}" if isinstance(error, _TEXT_FREE_ERRORS) else kind)
    return lines
