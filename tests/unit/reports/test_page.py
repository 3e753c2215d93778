"""A page is one file that is safe, whole and readable in any way."""

import importlib.util
import re
from collections.abc import Callable
from typing import Any

import pytest

from moodline.reports import cells
from moodline.reports.errors import ReportError
from moodline.reports.figures import Colour
from moodline.reports.page import Headline, Page, Table
from tests.unit.reports.harness import Html

HOSTILE = "</style><script>alert(1)</script> \" ' & $x$ ]]>\x00\u202e"
ARABIC = "شكوى من الفاتورة ğışİ"


def draw(label: str) -> Callable[[Any], None]:
    def into(figure: Any) -> None:
        panel = figure.subplots()
        panel.barh([label], [1.0], color=Colour.NEGATIVE, alpha=0.5)
        panel.set_title(label)

    return into


def page_of(name: str) -> str:
    return (
        Page(name, name)
        .section(name, name)
        .headlines([Headline(name, cells.Cell(name, name))])
        .figure(
            draw(name),
            caption=name,
            alternative=name,
            note=name,
            data=Table(name, (name,), [(name,)]),
        )
        .figure(draw(name), caption=name, alternative=name)
        .table(Table(name, (name, "n"), [(name, 3)], note=name))
        .section("Other")
        .table(Table("Nothing", ("a",), [], empty=name))
        .render()
    )


def test_no_name_becomes_markup() -> None:
    page = Html(page_of(HOSTILE))
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in page.elements}
    assert page.text.count("<script>alert(1)</script>") >= 15
    assert "$x$" in page.text
    assert len(page.all("style")) == 1


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    written = page_of("plain")
    page = Html(written)
    assert "http:" not in written
    assert "https:" not in written
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "action", "data"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert (attributes.get("href") or "#").startswith("#"), tag
    assert not re.findall(r"url\((?!#)|@import", written)
    policy = [one for one in page.all("meta") if one.get("http-equiv")]
    assert policy[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_all_that_is_pointed_at_is_there_once() -> None:
    written = page_of("plain")
    elements = Html(written).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pointed = {href[1:] for _, one in elements if (href := one.get("href"))}
    pointed |= set(re.findall(r"url\(#([^)]+)\)", written))
    pointed |= {one["aria-labelledby"] or "" for _, one in elements if "aria-labelledby" in one}
    assert pointed <= set(ids)


def test_figures_and_tables_say_what_they_are() -> None:
    page = Html(page_of("what it is"))
    assert len(page.all("caption")) == len(page.all("table")) == 3
    assert all(one.get("scope") in {"row", "col"} for one in page.all("th"))
    assert len(page.all("figcaption")) == len(page.all("svg")) == 2
    for svg in page.all("svg"):
        assert (svg["role"], svg["aria-label"]) == ("img", "what it is")


def test_a_page_says_its_language_and_direction() -> None:
    page = Page("Rapor", language="ar", direction="rtl").section("s").render()
    assert Html(page).all("html") == [{"lang": "ar", "dir": "rtl"}]


def test_texts_of_figures_stay_texts_for_the_browser_to_shape() -> None:
    page = Page("t").section("s").figure(draw(ARABIC), caption="c", alternative="a").render()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", page)
    assert texts.count(ARABIC) == 2


def test_figures_take_their_colours_from_the_page() -> None:
    page = page_of("plain")
    assert "fill: var(--negative); opacity: 0.5" in page
    assert not re.search("|".join(Colour), page)
    for colour in Colour:
        assert page.count(f"--{colour.name.lower()}: #") == 2, "light and dark"


def test_the_same_content_makes_the_same_page() -> None:
    assert page_of("plain") == page_of("plain")


def test_what_rests_on_few_is_marked_and_explained() -> None:
    few = Page("t").section("s").headlines([Headline("h", cells.share(1, 19))]).render()
    enough = Page("t").section("s").headlines([Headline("h", cells.share(1, 20))]).render()
    assert "5.3% † 1 of 19" in Html(few).text
    assert "† rests on fewer than 20" in Html(few).text
    assert "†" not in enough


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (cells.share(0, 0), "–"),
        (cells.share(1234, 5000), "24.7%"),
        (cells.mean(None, 0), "–"),
        (cells.mean(-0.004, 30), "0.00"),
        (cells.mean(-0.456, 30), "−0.46"),
        (cells.mean(3.5, 30, is_signed=False), "3.50"),
        (cells.value(0.25), "+0.25"),
        (cells.value(None), "–"),
        (cells.count(1234567), "1\u202f234\u202f567"),
    ],
)
def test_numbers_are_written_one_way(cell: cells.Cell, text: str) -> None:
    assert cell.text == text
    assert cell.is_numeric


def test_a_share_says_of_how_many() -> None:
    assert cells.share(1234, 5000).basis == "1\u202f234 of 5\u202f000"
    assert cells.mean(0.5, 7).basis == "n = 7"


def test_a_block_needs_a_section() -> None:
    with pytest.raises(ValueError, match="no section"):
        Page("t").paragraph("lost")


def test_a_row_has_a_cell_for_each_heading() -> None:
    with pytest.raises(ValueError, match="1 cells, expected 2"):
        Page("t").section("s").table(Table("c", ("a", "b"), [("x",)]))


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    with pytest.raises(ReportError, match=r"need matplotlib; .*pip install 'moodline\[report\]'"):
        Page("t")
