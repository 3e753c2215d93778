"""What may be concluded about the language of a conversation, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.domain import Absence, Conversation, Role, WarningCode
from moodline.language import (
    MAX_DETECTION_CHARS,
    LanguageDetector,
    LanguageSupport,
    LanguageTracker,
    TurnLanguage,
    is_readable,
    normalize_language,
    support_of,
)
from moodline.samples import load_samples

ENGLISH = "My internet has been down since yesterday and nobody answers the phone"
TURKISH_WITHOUT_DIACRITICS = "siparisim hala gelmedi ne zaman gelecek"
RUSSIAN = "Здравствуйте, со вчерашнего дня не работает интернет"


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector()


def last_after(tracker: LanguageTracker, *texts: str) -> TurnLanguage:
    return [tracker.add(text) for text in texts][-1]


class TestDetection:
    @pytest.mark.parametrize(
        ("text", "language"),
        [
            (ENGLISH, "en"),
            (TURKISH_WITHOUT_DIACRITICS, "tr"),
            ("İnternetim dünden beri çalışmıyor, kimse telefona bakmıyor", "tr"),
            ("النت عندي قاطع من امبارح ومحدش بيرد", "ar"),
            ("تمام", "ar"),
            ("Mein Internet geht seit gestern nicht mehr", "de"),
            ("Mon internet ne marche plus depuis hier", "fr"),
            ("Mi internet no funciona desde ayer y nadie contesta", "es"),
            ("Il mio internet non funziona da ieri e nessuno risponde", "it"),
            ("A minha internet não funciona desde ontem e ninguém atende", "pt"),
            ("Mijn internet doet het niet sinds gisteren", "nl"),
            ("नमस्ते, कल से मेरा इंटरनेट बंद है", "hi"),
            ("3ayza a3raf el 7agz bta3etko fe madinet nasr", "ar-Latn"),
        ],
    )
    def test_finds_supported_languages(
        self, detector: LanguageDetector, text: str, language: str
    ) -> None:
        assert LanguageTracker(detector).add(text).language == language

    @pytest.mark.parametrize(
        ("text", "language"),
        [
            (RUSSIAN, "ru"),
            ("Dzień dobry, od wczoraj nie działa mi internet, proszę o pomoc", "pl"),
            ("میرا انٹرنیٹ کل سے بند ہے اور کوئی جواب نہیں دے رہا", "ur"),
            ("Salam, dünəndən internetim işləmir və heç kim cavab vermir", "az"),
        ],
    )
    def test_does_not_take_other_languages_for_supported_ones(
        self, detector: LanguageDetector, text: str, language: str
    ) -> None:
        found = LanguageTracker(detector).add(text)
        assert found.language == language
        assert found.support is LanguageSupport.UNSUPPORTED
        assert found.absence is Absence.UNSUPPORTED_LANGUAGE
        assert found.warning is WarningCode.UNSUPPORTED_LANGUAGE

    @pytest.mark.parametrize("text", ["ok", "Maria Gonzalez", "😀👍", "4417 2290", "a@b.example"])
    def test_concludes_nothing_from_too_little(self, detector: LanguageDetector, text: str) -> None:
        found = LanguageTracker(detector).add(text)
        assert found.language == "und"
        assert found.support is LanguageSupport.UNKNOWN
        assert found.absence is None

    @pytest.mark.parametrize("text", ["ok", "😀", "12345", "Maria Gonzalez"])
    def test_small_turn_leaves_the_known_language_standing(
        self, detector: LanguageDetector, text: str
    ) -> None:
        assert last_after(LanguageTracker(detector), ENGLISH, text).language == "en"

    def test_name_in_the_first_turn_is_corrected_by_the_next(
        self, detector: LanguageDetector
    ) -> None:
        assert last_after(LanguageTracker(detector), "Hüseyin Aktaş", ENGLISH).language == "en"

    @pytest.mark.parametrize("sample", load_samples(), ids=lambda sample: sample.conversation_id)
    def test_finds_the_language_of_every_sample(
        self, detector: LanguageDetector, sample: Conversation
    ) -> None:
        texts = [turn.text for turn in sample.turns if turn.role is Role.CUSTOMER]
        assert last_after(LanguageTracker(detector), *texts).language == sample.language


class TestTracking:
    @given(texts=st.lists(st.sampled_from([ENGLISH, "ok", "😀", RUSSIAN, "tamam", ""]), max_size=8))
    def test_preview_equals_add_and_changes_nothing(
        self, detector: LanguageDetector, texts: list[str]
    ) -> None:
        tracker = LanguageTracker(detector)
        for text in texts:
            before = tracker.language
            preview = tracker.preview(text)
            assert tracker.language == before
            assert tracker.add(text) == preview

    @given(texts=st.lists(st.text(max_size=80), max_size=6))
    def test_any_text_gets_an_answer(self, detector: LanguageDetector, texts: list[str]) -> None:
        tracker = LanguageTracker(detector)
        for text in texts:
            assert tracker.add(text).language == tracker.language

    def test_nothing_is_detected_once_enough_is_heard(self, detector: LanguageDetector) -> None:
        tracker = LanguageTracker(detector)
        tracker.add(f"{ENGLISH}. " * (MAX_DETECTION_CHARS // len(ENGLISH) + 1))
        assert last_after(tracker, *[TURKISH_WITHOUT_DIACRITICS] * 20).language == "en"

    def test_turn_in_an_unread_script_is_absent_in_a_readable_conversation(
        self, detector: LanguageDetector
    ) -> None:
        tracker = LanguageTracker(detector, declared="en")
        assert tracker.add(RUSSIAN).absence is Absence.UNSUPPORTED_LANGUAGE
        assert tracker.add(ENGLISH).absence is None


class TestDeclaration:
    def test_stands_against_the_text(self, detector: LanguageDetector) -> None:
        found = LanguageTracker(detector, declared="TR_tr").add(ENGLISH)
        assert found.language == "tr-TR"
        assert found.is_measured

    def test_of_an_unsupported_language_leaves_turns_absent(
        self, detector: LanguageDetector
    ) -> None:
        found = LanguageTracker(detector, declared="ja").add("konnichiwa")
        assert found.absence is Absence.UNSUPPORTED_LANGUAGE

    def test_of_und_means_to_detect(self, detector: LanguageDetector) -> None:
        assert LanguageTracker(detector, declared="und").add(ENGLISH).language == "en"

    @pytest.mark.parametrize("tag", ["x", "english!", "nonsense", "-", "en--US"])
    def test_must_look_like_a_language_tag(self, tag: str) -> None:
        with pytest.raises(ValueError, match="BCP-47"):
            normalize_language(tag)


class TestSupport:
    @pytest.mark.parametrize(
        ("tag", "support"),
        [
            ("en", LanguageSupport.MEASURED),
            ("tr-TR", LanguageSupport.MEASURED),
            ("ar-EG", LanguageSupport.MEASURED),
            ("arz", LanguageSupport.MEASURED),
            ("ar-Latn", LanguageSupport.UNMEASURED),
            ("de", LanguageSupport.UNMEASURED),
            ("nl-BE", LanguageSupport.UNMEASURED),
            ("ru", LanguageSupport.UNSUPPORTED),
            ("und", LanguageSupport.UNKNOWN),
        ],
    )
    def test_follows_language_and_script(self, tag: str, support: LanguageSupport) -> None:
        assert support_of(tag) is support

    @pytest.mark.parametrize(
        ("text", "is_read"),
        [
            ("hello", True),
            ("مرحبا", True),
            ("नमस्ते", True),
            ("😀 12", True),
            ("да", False),
            ("the word для", True),
            ("我的 ok", True),
            ("我的网络 ok", False),
        ],
    )
    def test_script_of_most_letters_decides_what_is_read(self, text: str, is_read: bool) -> None:
        assert is_readable(text) is is_read
