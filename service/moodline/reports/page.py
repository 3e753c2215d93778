"""One HTML file with headlines, figures and tables: no script, no network, all text escaped.

Needs the extra `report`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Self

from moodline.reports.cells import SMALL_COUNT, Cell, count
from moodline.reports.errors import ReportError
from moodline.reports.figures import Draw, inline_svg

_LIBRARIES: Final = ("jinja2", "matplotlib")
_TEMPLATE: Final = "page.html"

Direction = Literal["ltr", "rtl"]


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure at the top of a section.

    Attributes:
        label: What it is.
        value: How much, and what it rests on.
    """

    label: str
    value: Cell


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its first column names the rows.

    Attributes:
        caption: What it shows.
        headings: One for each column.
        rows: Cells of each row, as many as there are headings; a bare text is one of words, a bare
            integer a count.
        note: What to know about it; may be empty.
        empty: What stands there if there are no rows.
        is_stacked: Whether what a number rests on stands below it, so that more columns fit.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell | str | int]]
    note: str = ""
    empty: str = "None."
    is_stacked: bool = False


@dataclass(frozen=True, slots=True)
class _Paragraph:
    text: str


@dataclass(frozen=True, slots=True)
class _Headlines:
    headlines: tuple[Headline, ...]


@dataclass(frozen=True, slots=True)
class _DrawnFigure:
    caption: str
    svg: str
    note: str
    data: _FilledTable | None


@dataclass(frozen=True, slots=True)
class _FilledTable:
    caption: str
    headings: tuple[str, ...]
    numeric_columns: frozenset[int]
    rows: tuple[tuple[Cell, ...], ...]
    note: str
    empty: str
    is_stacked: bool


_Block = _Paragraph | _Headlines | _DrawnFigure | _FilledTable


@dataclass(slots=True)
class _Section:
    heading: str
    identifier: str
    blocks: list[_Block] = field(default_factory=list)


def require_report_extra() -> None:
    """Look for what pages are made with, before anything long is begun.

    Raises:
        ReportError: If something is not installed.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise ReportError(
            f"Reports need {' and '.join(missing)}; install with: pip install 'moodline[report]'"
        )


class Page:
    """Builds a page from top to bottom; every method returns the page.

    `Page("Title").section("Mood").figure(...).table(...).render()`
    """

    def __init__(
        self,
        title: str,
        subtitle: str = "",
        *,
        language: str = "en",
        direction: Direction = "ltr",
    ) -> None:
        """Begin a page.

        Args:
            title: Of the document and of its first heading.
            subtitle: A line below it.
            language: BCP-47 tag of what the caller writes; names and ids may be in any other.
            direction: Of that language.

        Raises:
            ReportError: If the extra `report` is not installed.
        """
        require_report_extra()
        self._title = title
        self._subtitle = subtitle
        self._language = language
        self._direction = direction
        self._sections: list[_Section] = []
        self._figure_count = 0

    def section(self, heading: str, *paragraphs: str) -> Self:
        """Begin a section; what follows stands in it."""
        self._sections.append(_Section(heading, f"section-{len(self._sections) + 1}"))
        for text in paragraphs:
            self.paragraph(text)
        return self

    def paragraph(self, text: str) -> Self:
        """Add a paragraph of plain text."""
        return self._add(_Paragraph(text))

    def headlines(self, headlines: Sequence[Headline]) -> Self:
        """Add figures in large type, side by side."""
        return self._add(_Headlines(tuple(headlines)))

    def table(self, table: Table) -> Self:
        """Add a table.

        Raises:
            ValueError: If a row has not as many cells as there are headings.
        """
        return self._add(_filled(table))

    def figure(
        self,
        draw: Draw,
        *,
        caption: str,
        alternative: str,
        data: Table | None = None,
        note: str = "",
        width_in: float = 8.0,
        height_in: float = 3.2,
    ) -> Self:
        """Add a figure.

        Args:
            draw: Draws it into a matplotlib figure, in the colours of `Colour`.
            caption: What it shows.
            alternative: What is to be seen in it, in words.
            data: Its numbers, to be unfolded below it.
            note: What to know about it.
            width_in: Width in inches; 8 is as wide as the page.
            height_in: Height in inches.
        """
        self._figure_count += 1
        svg = inline_svg(
            draw,
            identifier=f"figure-{self._figure_count}",
            alternative=alternative,
            width_in=width_in,
            height_in=height_in,
        )
        return self._add(_DrawnFigure(caption, svg, note, _filled(data) if data else None))

    def render(self) -> str:
        """Return the HTML document."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("moodline.reports"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template(_TEMPLATE).render(
            title=self._title,
            subtitle=self._subtitle,
            language=self._language,
            direction=self._direction,
            sections=self._sections,
            small_count=SMALL_COUNT,
            has_small=any(_has_small(block) for one in self._sections for block in one.blocks),
        )

    def _add(self, block: _Block) -> Self:
        if not self._sections:
            raise ValueError("The page has no section yet; begin one.")
        self._sections[-1].blocks.append(block)
        return self


def _filled(table: Table) -> _FilledTable:
    rows = tuple(tuple(map(_cell, row)) for row in table.rows)
    for row in rows:
        if len(row) != len(table.headings):
            raise ValueError(f"A row has {len(row)} cells, expected {len(table.headings)}.")
    return _FilledTable(
        caption=table.caption,
        headings=tuple(table.headings),
        numeric_columns=frozenset(
            index for row in rows for index, cell in enumerate(row) if cell.is_numeric
        ),
        rows=rows,
        note=table.note,
        empty=table.empty,
        is_stacked=table.is_stacked,
    )


def _cell(content: Cell | str | int) -> Cell:
    if isinstance(content, Cell):
        return content
    return count(content) if isinstance(content, int) else Cell(content)


def _has_small(block: _Block) -> bool:
    match block:
        case _Headlines(headlines):
            return any(one.value.is_small for one in headlines)
        case _FilledTable(rows=rows):
            return any(cell.is_small for row in rows for cell in row)
        case _DrawnFigure(data=_FilledTable() as data):
            return _has_small(data)
        case _:
            return False
