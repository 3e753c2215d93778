"""What the words around a number say that it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MAX_LEAD: Final = 48
_MAX_TAIL: Final = 24
_CLAUSE_END: Final = re.compile(r"[0-9@\[\]\n;!?\u061f]|[.,\u060c](?=\s)")

_REFERENCE: Final = (
    # What is ordered, sent, paid or reported has a number that identifies nobody.
    r"(?:orders?|tracking|shipments?|shipping|parcel|package|deliver\w*|awb|waybill|invoices?|bill"
    r"|tickets?|cases?|ref|references?|bookings?|reservations?|confirmation|transactions?|receipt"
    r"|serial|sku|product|item|model|part|barcode|coupon|voucher|code|pin|otp|version|error|imei"
    r"|siparis\w*|takip|kargo\w*|gonderi\w*|fatura\w*|talep|talebi\w*|referans\w*|rezervasyon\w*"
    r"|islem|seri|urun\w*|bilet\w*|dekont\w*|fis|barkod\w*|sikayet\w*|basvuru\w*|kupon\w*|kodu?\w*"
    r"|\w*(?:طلب|شحن|تتبع|فاتور|مرجع|حجز|تذكر|عمليه|عملية|معامل|تسلسل|بلاغ|بوليص|كوبون|كود|رمز)\w*)"
)
_FILLER: Final = (
    r"(?:[\s:#.\-()'\"=\u2019]|numbers?\b|no\b|num\b|nr\b|numara\w*|id\b|code\b|kod\w*|is\b|was\b"
    r"|were\b|the\b|my\b|su\b|olan\b|رقم\w*|هو\b|هي\b)"
)
_REFERENCE_BEFORE: Final = re.compile(
    rf"\b{_REFERENCE}(?:\b{_FILLER}*+|{_FILLER}*+)\Z", re.IGNORECASE
)
_REFERENCE_AFTER: Final = re.compile(
    rf"[\s'\u2019]*(?:(?:numarali|nolu|no'?lu|no lu|sayili|kodlu)\s+)?(?:\w+\s+)?{_REFERENCE}\b",
    re.IGNORECASE,
)
_PHONE: Final = re.compile(
    r"\b(?:phones?|tel|telephone|mobile|cell|cellphone|call|calls|text|sms|whatsapp\w*|reach|contact"
    r"|fax|ring|dial|my number|number is"
    r"|telefon\w*|cep|cebi\w*|gsm|numaram\w*|numaradan|ara(?:[ymr]\w*)?|ariyor\w*"
    r"|ulas\w+|hatti\w*|iletisim)\b"
    r"|هاتف|تلفون|تليفون|جوال|موبايل|محمول|اتصل|اتصال|واتس|كلم|تواصل|رقمي",
    re.IGNORECASE,
)
_AMOUNT_BEFORE: Final = re.compile(
    r"(?:[\u20ba$\u20ac\u00a3]|\b(?:usd|eur|gbp|try|tl|sar|aed|egp))\s?\Z", re.IGNORECASE
)
_AMOUNT_AFTER: Final = re.compile(
    r"\s?(?:[\u20ba$\u20ac\u00a3%]|(?:tl|try|lira\w*|usd|dolar\w*|dollars?|eur|euros?|sar|riyals?"
    r"|aed|dirhams?|egp|gbp|pounds?|points?|puan\w*|ريال|درهم|جني|دولار|لير|نقط)(?![a-z]))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The words before a number in its clause, and those after it.

    Attributes:
        lead: Ends where the number begins; no other number in it.
        tail: Begins where the number ends.
    """

    lead: str
    tail: str

    @property
    def is_reference(self) -> bool:
        """Whether they call it the number of an order, a parcel, an invoice and the like."""
        return bool(_REFERENCE_BEFORE.search(self.lead) or _REFERENCE_AFTER.match(self.tail))

    @property
    def is_amount(self) -> bool:
        """Whether a currency stands beside it."""
        return bool(_AMOUNT_BEFORE.search(self.lead) or _AMOUNT_AFTER.match(self.tail))

    @property
    def tells_phone(self) -> bool:
        """Whether they speak of phones or calls."""
        return bool(_PHONE.search(self.lead) or _PHONE.search(self.tail))

    def tells(self, words: re.Pattern[str]) -> bool:
        """Whether words stand before it or after it."""
        return bool(words.search(self.lead) or words.search(self.tail))


def surroundings(text: str, start: int, end: int) -> Surroundings:
    """Return what stands around a span of a folded text, at most a few words of it."""
    lead = text[max(0, start - _MAX_LEAD) : start]
    ends = [match.end() for match in _CLAUSE_END.finditer(lead)]
    tail = text[end : end + _MAX_TAIL]
    stop = _CLAUSE_END.search(tail)
    return Surroundings(
        lead[ends[-1] :] if ends else lead, tail[: stop.start()] if stop is not None else tail
    )


def is_part_of_code(text: str, start: int, end: int) -> bool:
    """Whether letters and more digits are glued to a number, as in `1Z999AA10123456784`."""
    left = start
    while left > 0 and start - left < _MAX_LEAD and _is_code_sign(text[left - 1]):
        left -= 1
    right = end
    while right < len(text) and right - end < _MAX_LEAD and _is_code_sign(text[right]):
        right += 1
    return any(sign.isdigit() for sign in text[left:start] + text[end:right])


def is_joined(text: str, start: int, end: int, signs: str) -> bool:
    """Whether digits go on behind one of `signs`, as in `12345.50`, or before one."""
    return (end + 1 < len(text) and text[end] in signs and text[end + 1].isdigit()) or (
        start > 1 and text[start - 1] in signs and text[start - 2].isdigit()
    )


def _is_code_sign(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()
