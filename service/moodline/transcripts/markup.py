"""What people see of a message that is written in HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

_BLOCKS: Final = frozenset(
    "address article aside blockquote br dd div dl dt footer h1 h2 h3 h4 h5 h6 header hr li ol p "
    "pre section table tr ul".split()
)
_NOT_SHOWN: Final = frozenset({"head", "script", "style", "template", "title"})


def text_of_html(markup: str) -> str:
    """Return the text of an HTML message: blocks as lines, entities decoded, white space joined."""
    parser = _ShownText()
    parser.feed(markup)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.pieces).split("\n"))
    return "\n".join(line for line in lines if line)


class _ShownText(HTMLParser):
    """Collects the text; a line feed in `pieces` is the border of a block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden_depth += tag in _NOT_SHOWN
        self._border(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _NOT_SHOWN:
            self._hidden_depth = max(0, self._hidden_depth - 1)
        self._border(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden_depth:
            self.pieces.append(" ".join(data.splitlines()) if "\n" in data else data)

    def _border(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.pieces.append("\n")
