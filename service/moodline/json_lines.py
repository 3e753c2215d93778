"""Reads JSON, one line at a time and within bounded memory.

What is wrong with it is told by place, never by quoting it: it may be what a customer said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO, Final, NoReturn

from moodline.errors import FieldViolation, InputTooLongError, InvalidRequestError
from moodline.limits import Limits

MAX_LINE_BYTES: Final = Limits().max_message_bytes
"""Longest line that is held: as JSON, too, a conversation of the largest size fits."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SKIP_BYTES: Final = 65_536


def read_lines(
    source: BinaryIO, *, max_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that are not blank with their numbers, from 1.

    Args:
        source: Read line by line, as it comes.
        max_bytes: Longest line that is held; a longer one is passed over and yielded as None.
    """
    number = 0
    while line := source.readline(max_bytes + 1):
        number += 1
        if len(line) > max_bytes and not line.endswith(b"\n"):
            while (rest := source.readline(_SKIP_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, None
            continue
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            yield number, line


def line_too_long(*, max_bytes: int = MAX_LINE_BYTES) -> InputTooLongError:
    """Return what is wrong with a line that `read_lines` passed over."""
    return InputTooLongError(
        [FieldViolation("", f"has more than {max_bytes} bytes; write shorter conversations")]
    )


def load_json(encoded: bytes, *, encoding: str = "utf-8") -> object:
    """Decode one JSON value: a line or a whole file.

    Raises:
        InvalidRequestError: If it is not in the encoding or not JSON, or names a key of an object
            twice.
    """
    try:
        return json.loads(
            encoded.decode(encoding), object_pairs_hook=_unique, parse_constant=_not_a_number
        )
    except InvalidRequestError:
        raise
    except UnicodeDecodeError as error:
        problem = f"is not {encoding.upper()} at byte {error.start}; save the file as UTF-8"
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        problem = f"is not JSON from {line}column {error.colno} on; correct it"
        if error.pos >= len(error.doc.rstrip()):
            problem = "is not JSON, for it ends too early; complete it"
    except RecursionError:
        problem = "is nested too deeply; write one conversation a line"
    except ValueError:
        problem = "holds a number of too many digits; correct it"
    raise InvalidRequestError([FieldViolation("", problem)]) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise InvalidRequestError(
            [FieldViolation("", "names a key twice in one object; leave one of them out")]
        )
    return record


def _not_a_number(name: str) -> NoReturn:
    raise InvalidRequestError(
        [FieldViolation("", f"holds {name}, which is not JSON; write null or a number")]
    )
