"""What every reader works with: sources, documents, and the description of a format."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.json_lines import MAX_LINE_BYTES, line_too_long, load_json, read_lines
from moodline.transcripts.records import bounded
from moodline.transcripts.transcript import SpeakerRole, Transcript, UnreadableItem

if TYPE_CHECKING:
    from typing_extensions import Buffer

HEAD_BYTES: Final = 65_536
MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024

_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

ReadItem: TypeAlias = Transcript | UnreadableItem


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the files themselves do not tell.

    Attributes:
        roles: Role by participant id, name or speaker label, in any case, e.g.
            `{"Speaker 0": SpeakerRole.AGENT}`; stands above what the file says.
        columns: For CSV and flat Parquet: our column by theirs, e.g. `{"Mesaj": "text"}`.
        encoding: Of text files without a byte-order mark.
        max_document_bytes: Largest JSON document, text or conversation that is held in memory.
    """

    roles: Mapping[str, SpeakerRole] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    max_document_bytes: int = MAX_DOCUMENT_BYTES

    def role_of(self, *names: str) -> SpeakerRole | None:
        """Return the role that the user gives to the first of these names that has one."""
        roles = {name.casefold(): role for name, role in self.roles.items()}
        return next((roles[key] for name in names if (key := name.casefold()) in roles), None)


class TranscriptSource:
    """A file or a stream of transcripts, looked into before it is read, and read once.

    Attributes:
        name: As told in errors.
        path: Where the file is; None for a stream.
    """

    def __init__(self, name: str, stream: BinaryIO, *, path: Path | None = None) -> None:
        self.name = name
        self.path = path
        self._stream = stream
        self._ahead = b""
        self._json: tuple[object] | None = None

    @property
    def stem(self) -> str:
        """Name of the file without folder and ending: the id of a conversation without one."""
        return Path(self.name).stem

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """Return the first bytes, fewer if there are no more, without taking them."""
        while len(self._ahead) < size and (more := self._stream.read(size - len(self._ahead))):
            self._ahead += more
        return self._ahead[:size]

    def first_line(self, max_bytes: int = MAX_LINE_BYTES) -> bytes:
        """Return the first line that is not blank, or as much of it as fits, without taking it."""
        size = HEAD_BYTES
        while True:
            line, end, _ = self.head(size).lstrip().partition(b"\n")
            if end or len(self._ahead) < size or size > max_bytes:
                return line
            size *= 8

    def open(self) -> io.BufferedReader:
        """Return the stream from its beginning; only once."""
        ahead, self._ahead = self._ahead, b""
        return io.BufferedReader(_Rejoined(ahead, self._stream), buffer_size=HEAD_BYTES)

    def encoding(self, default: str) -> str:
        """Return the encoding that a byte-order mark names, else the default."""
        head = self.head()
        return next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), default)

    def json(self, options: ReadOptions) -> object:
        """Return the JSON value that the whole source is; parsed once, however often it is asked.

        Raises:
            InvalidRequestError: If it is none, with nothing taken; or if it is too large.
        """
        if self._json is None:
            encoding = self.encoding(options.encoding)
            content = self.read_all(options.max_document_bytes)
            try:
                self._json = (load_json(content, encoding=encoding),)
            except InvalidRequestError:
                self._ahead = content
                raise
        return self._json[0]

    def read_all(self, max_bytes: int) -> bytes:
        """Take all that there is.

        Raises:
            InvalidRequestError: If it is more than `max_bytes`.
        """
        with self.open() as stream:
            content = stream.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise InvalidRequestError(
                [
                    FieldViolation(
                        "",
                        f"has more than {max_bytes} bytes; write one conversation a file or a "
                        "line, or raise max_document_bytes",
                    )
                ]
            )
        return content


class _Rejoined(io.RawIOBase):
    """What was read ahead, and the rest of the stream."""

    def __init__(self, ahead: bytes, rest: BinaryIO) -> None:
        self._ahead = memoryview(ahead)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self._ahead:
            piece = self._ahead[: len(view)]
            self._ahead = self._ahead[len(piece) :]
        else:
            piece = memoryview(self._rest.read(len(view)))
        view[: len(piece)] = piece
        return len(piece)


@contextmanager
def open_source(path: Path) -> Iterator[TranscriptSource]:
    """Open a file of transcripts.

    Raises:
        OSError: If it cannot be opened.
    """
    with path.open("rb") as stream:
        yield TranscriptSource(str(path), stream, path=path)


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a source, by which its format is recognised.

    Attributes:
        head: The first bytes.
        text: The same as text; empty if it is none.
        record: The first JSON object, if the source holds JSON.
        json_problem: What is wrong with it, if it looks like JSON and is none.
        options: What the source itself does not tell, such as the meaning of its columns.
    """

    head: bytes
    text: str = ""
    record: Mapping[str, object] | None = None
    json_problem: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but white space and a byte-order mark."""
        return self.head.strip() in {b"", *(mark for mark, _ in _BYTE_ORDER_MARKS)}


Detect: TypeAlias = Callable[[Sample], bool]
Read: TypeAlias = Callable[[TranscriptSource, ReadOptions], Iterator[ReadItem]]


@dataclass(frozen=True, slots=True)
class TranscriptFormat:
    """One format.

    Attributes:
        name: By which users name it, e.g. `contact-lens`.
        title: What it is, for lists.
        identified_by: What `detect` looks for, told when no format fits.
        detect: Tells the format by content; exclusive among our own formats.
        read: Reads everything; what cannot be read is given as an item, never raised.
    """

    name: str
    title: str
    identified_by: str
    detect: Detect
    read: Read


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON object of a source.

    Attributes:
        record: The object.
        name: Id for a conversation to which the format gives none.
        place: Where it stands in the source, e.g. `line 3` or `[4]`; empty if it is all of it.
    """

    record: Mapping[str, object]
    name: str
    place: str = ""


def json_format(
    name: str,
    title: str,
    identified_by: str,
    is_shape: Callable[[Mapping[str, object]], bool],
    read: Callable[[Document, ReadOptions], Iterable[Transcript]],
) -> TranscriptFormat:
    """Describe a format whose conversations are JSON objects.

    A file of it holds one object, an array of them, or one a line; the latter streams.

    Args:
        name: By which users name it.
        title: What it is, for lists.
        identified_by: What `is_shape` looks for, told when no format fits.
        is_shape: Tells the format by the first object.
        read: Reads one object; raises InvalidRequestError with all that is wrong.
    """

    def read_source(source: TranscriptSource, options: ReadOptions) -> Iterator[ReadItem]:
        for document in read_documents(source, options):
            if isinstance(document, UnreadableItem):
                yield document
                continue
            try:
                yield from read(document, options)
            except InvalidRequestError as error:
                yield UnreadableItem(source.name, document.place, tuple(error.violations))

    return TranscriptFormat(
        name=name,
        title=title,
        identified_by=identified_by,
        detect=lambda sample: sample.record is not None and is_shape(sample.record),
        read=read_source,
    )


def read_documents(
    source: TranscriptSource, options: ReadOptions
) -> Iterator[Document | UnreadableItem]:
    """Yield the JSON objects of a source: one, an array of them, or one a line."""
    if _is_lines(source):
        yield from _documents_of_lines(source)
        return
    try:
        value = source.json(options)
    except InvalidRequestError as error:
        yield UnreadableItem(source.name, "", tuple(error.violations))
        return
    if not isinstance(value, list):
        yield _document(source, value, source.stem, "")
        return
    for index, item in enumerate(value):
        yield _document(source, item, f"{source.stem}-{index + 1}", f"[{index}]")


def _documents_of_lines(source: TranscriptSource) -> Iterator[Document | UnreadableItem]:
    with source.open() as stream:
        lines = read_lines(stream)
        first, second = next(lines, None), next(lines, None)
        is_alone = second is None
        for number, line in chain((entry for entry in (first, second) if entry), lines):
            place = f"line {number}"
            try:
                if line is None:
                    raise line_too_long()
                value = load_json(line)
            except InvalidRequestError as error:
                yield UnreadableItem(source.name, place, tuple(error.violations))
                continue
            name = source.stem if is_alone else f"{source.stem}-{number}"
            yield _document(source, value, name, place)


def _document(
    source: TranscriptSource, value: object, name: str, place: str
) -> Document | UnreadableItem:
    if isinstance(value, dict):
        return Document(value, name, place)
    return UnreadableItem(source.name, place, (FieldViolation("", "should be a JSON object"),))


def _is_lines(source: TranscriptSource) -> bool:
    """Tell whether each line is an object: the first one or, if that is broken, one after it.

    Inside a document that is printed over several lines, objects are indented or end in a comma.
    """
    if _object_of(source.first_line()) is not None:
        return True
    head = source.head()
    if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        return False
    return any(_object_of(line) for line in head.splitlines()[1:] if line.startswith(b"{"))


def _object_of(line: bytes) -> Mapping[str, object] | None:
    if not line.lstrip(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return None
    try:
        value = load_json(line.removeprefix(codecs.BOM_UTF8))
    except InvalidRequestError:
        return None
    return value if isinstance(value, dict) else None


def take_sample(source: TranscriptSource, options: ReadOptions) -> Sample:
    """Look into a source without taking anything of it."""
    head = source.head()
    encoding = source.encoding(options.encoding)
    text = codecs.getincrementaldecoder(encoding)(errors="ignore").decode(head)
    if b"\x00" in head and encoding in {"utf-8", "utf-8-sig"}:
        text = ""
    if not text.lstrip("\N{ZERO WIDTH NO-BREAK SPACE} \t\r\n").startswith(("{", "[")):
        return Sample(head, text, options=options)
    if _is_lines(source):
        lines = [source.first_line(), *head.splitlines()]
        record = next(filter(None, map(_object_of, lines)), None)
        return Sample(head, text, record, options=options)
    try:
        value = source.json(options)
    except InvalidRequestError as error:
        problem = error.violations[0].description
        return Sample(head, text, json_problem=problem, options=options)
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    return Sample(head, text, value if isinstance(value, dict) else None, options=options)


def read_text(source: TranscriptSource, options: ReadOptions) -> str:
    """Take a whole source as text.

    Raises:
        InvalidRequestError: If it is too large or not in its encoding.
    """
    encoding = source.encoding(options.encoding)
    content = source.read_all(options.max_document_bytes)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        problem = (
            f"is not {encoding.upper()} at byte {error.start}; save it as UTF-8, or name its "
            "encoding"
        )
        raise InvalidRequestError([FieldViolation("", problem)]) from None


def first_of(value: object) -> Mapping[str, object]:
    """Return the first element of an array of objects, or an empty one."""
    first = value[0] if isinstance(value, list) and value else None
    return first if isinstance(first, dict) else {}


def refuse(*violations: FieldViolation) -> InvalidRequestError:
    """Return the error of a document that cannot be read, with as much of it as people read."""
    return InvalidRequestError(bounded(violations))
