"""The words that other systems use for roles, channels and sentiment, in ours.

Source: docs/formats.md, "Words".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import regex

from moodline.transcripts.transcript import SpeakerRole, VendorSentiment

_WORDS_OF_ROLE: Final = {
    SpeakerRole.CUSTOMER: (
        "customer, end user, enduser, user, external, caller, client, consumer, contact, lead, "
        "visitor, requester, shopper, guest, patient, "
        "müşteri, arayan, kullanıcı, danışan, "
        "عميل, العميل, العميلة, زبون, الزبون, الزبونة, المتصل, المتصلة, المستخدم, "
        "kunde, kundin, cliente, klant"
    ),
    SpeakerRole.AGENT: (
        "agent, human agent, internal, admin, representative, rep, csr, advisor, adviser, "
        "operator, associate, staff, employee, support, support agent, customer service, "
        "customer service agent, customer service representative, service agent, "
        "temsilci, müşteri temsilcisi, çağrı merkezi, danışman, görevli, yetkili, destek, "
        "موظف, الموظف, الموظفة, ممثل الخدمة, موظف الخدمة, خدمة العملاء, الدعم, "
        "agente, mitarbeiter, mitarbeiterin, medewerker"
    ),
    SpeakerRole.SUPERVISOR: (
        "supervisor, manager, team lead, team leader, yönetici, süpervizör, takım lideri, "
        "مشرف, المشرف, المشرفة, المدير, المديرة"
    ),
    SpeakerRole.BOT: (
        "bot, automated agent, custom bot, agent bot, agentbot, chat bot, chatbot, voice bot, "
        "voicebot, ivr, virtual agent, virtual assistant, assistant, "
        "sanal asistan, asistan, المساعد الآلي, المساعد الافتراضي, الروبوت"
    ),
    SpeakerRole.SYSTEM: "system, acd, voicemail, activity, sistem, النظام",
}
_ROLE_OF_WORD: Final[Mapping[str, SpeakerRole]] = {
    word: role for role, words in _WORDS_OF_ROLE.items() for word in words.split(", ")
}
_CHANNEL_OF_WORD: Final[Mapping[str, str]] = {
    word: channel
    for channel, words in {
        "call": "call, voice, phone, telephone, telephony, audio, transcript",
        "chat": "chat, text, web chat, webchat, messaging, native messaging, message, sms, "
        "whatsapp, web widget, webwidget, conversation, live chat, line, telegram, api",
        "email": "email, e mail, mail",
        "social": "social, twitter, twitter profile, x, facebook, facebook page, instagram, tiktok",
    }.items()
    for word in words.split(", ")
}
# The neutral and mixed ones are both at 0: a mixed text is told by its label.
_SCORE_OF_LABEL: Final[Mapping[str, float]] = {
    "VERY_NEGATIVE": -1.0,
    "NEGATIVE": -1.0,
    "NEUTRAL": 0.0,
    "MIXED": 0.0,
    "POSITIVE": 1.0,
    "VERY_POSITIVE": 1.0,
}

_SEPARATORS: Final = regex.compile(r"[\s_\-–.:/]+")
_NUMBER: Final = regex.compile(r"\s*[#(]?\s*\d{1,3}\)?$")
# Names that the removal of personal data leaves in capitals, blocks or stars; what recognition
# hears besides words stands in the same brackets.
_REDACTION: Final = regex.compile(
    r"\[(?!(?:NOISE|MUSIC|SILENCE|LAUGHTER|INAUDIBLE|CROSSTALK|UNINTELLIGIBLE|HOLD|PAUSE|BEEP)\])"
    r"[A-Z][A-Z0-9_\-]{2,}\]"
    r"|<[A-Z][A-Z0-9_]{2,}>"
    r"|(?<![\w*])\*{3,}(?!\*)"
    r"|▇+"
)


def normalized_word(label: str) -> str:
    """Return a word without the differences that do not matter: case, separators, its number."""
    words = _SEPARATORS.sub(" ", label).strip().casefold().replace("\N{COMBINING DOT ABOVE}", "")
    return _NUMBER.sub("", words)


@lru_cache(maxsize=1_024)
def role_of(label: str) -> SpeakerRole:
    """Return the role that `END_USER`, `Agent 2` or `müşteri` names; UNKNOWN for other words."""
    return _ROLE_OF_WORD.get(normalized_word(label), SpeakerRole.UNKNOWN)


def channel_of(name: str) -> str:
    """Return our word for a channel; one that we have no word for as it came, in small letters."""
    return _CHANNEL_OF_WORD.get(normalized_word(name), name.strip().casefold())


def vendor_sentiment(label: str, score: float | None = None) -> VendorSentiment | None:
    """Return a vendor's sentiment of a turn, or None if it tells nothing.

    Args:
        label: In any case; if the vendor gives no score, the score follows from it.
        score: On [-1, 1] already.
    """
    name = normalized_word(label).replace(" ", "_").upper()
    if not name and score is None:
        return None
    if score is None:
        score = _SCORE_OF_LABEL.get(name)
    return VendorSentiment(name, score)


def scaled(score: float, *, span: float) -> float:
    """Bring a score on [-span, span] to [-1, 1], as far as a vendor may have left its scale."""
    return math.copysign(min(abs(score) / span, 1.0), score)


def redactions_in(text: str) -> tuple[tuple[int, int], ...]:
    """Return the spans, in code points, where a mark stands for removed words."""
    return tuple(match.span() for match in _REDACTION.finditer(text))
