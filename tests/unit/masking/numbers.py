"""Made-up numbers with right check digits."""

from __future__ import annotations

from hypothesis import strategies as st
from stdnum import luhn
from stdnum.iso7064 import mod_97_10
from stdnum.tr import tckimlik


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


def _card(beginning_and_length: tuple[str, int]) -> st.SearchStrategy[str]:
    beginning, length = beginning_and_length
    return digits(length - 1 - len(beginning)).map(
        lambda rest: beginning + rest + luhn.calc_check_digit(beginning + rest)
    )


ISSUERS = [("4", 16), ("52", 16), ("2345", 16), ("37", 15), ("6011", 16), ("9792", 16), ("62", 19)]
cards = st.sampled_from(ISSUERS).flatmap(_card).filter(lambda number: len(set(number)) > 1)
tckns = digits(8).flatmap(
    lambda rest: st.sampled_from("123456789").map(
        lambda first: first + rest + tckimlik.calc_check_digits(first + rest)
    )
)
ibans = st.sampled_from([("TR", 22), ("SA", 20), ("DE", 18), ("EG", 25)]).flatmap(
    lambda country: digits(country[1]).map(
        lambda bban: country[0] + mod_97_10.calc_check_digits(bban + country[0]) + bban
    )
)
"""Of countries whose accounts may be digits alone."""

mobiles = st.tuples(st.sampled_from(["0532", "0542", "0555"]), digits(7)).map("".join)


@st.composite
def written(draw: st.DrawFn, numbers: st.SearchStrategy[str]) -> str:
    """A number as somebody may write it: in groups, in other digits, with unseen marks."""
    number = draw(numbers)
    separator = draw(st.sampled_from(["", " ", "-", "\u00a0", "\u200b", "\u2009"]))
    size = draw(st.integers(3, 5))
    groups = separator.join(number[i : i + size] for i in range(0, len(number), size))
    zero = draw(st.sampled_from("0٠۰０"))
    shifted = groups.translate({ord(d): ord(zero) + int(d) for d in "0123456789"})
    edges = draw(st.sampled_from([("", ""), ("\u202b", "\u202c"), ("\u2067", "\u2069")]))
    return edges[0] + shifted + edges[1]


around = st.text(
    st.characters(
        categories=["L", "P", "Zs", "So"],
        # What a number, an account or an address could go on with.
        exclude_characters="@+-./_()\\",
    ).filter(lambda sign: not sign.isdigit()),
    max_size=30,
)
"""Text without digits."""
