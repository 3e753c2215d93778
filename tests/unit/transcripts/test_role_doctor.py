"""The role doctor tells confused speakers by their words, and corrects them on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.samples import read_samples
from moodline.transcripts import SpeakerRole, Transcript
from moodline.transcripts.role_doctor import (
    MAX_TURN_SCORE,
    RoleCues,
    RoleDoctor,
    RoleVerdict,
    corrected,
    cues_of,
)
from moodline.transcripts.transcript import TranscriptTurn, TranscriptWarning, TranscriptWarningCode
from tests.unit.transcripts.harness import read

A, C, U = SpeakerRole.AGENT, SpeakerRole.CUSTOMER, SpeakerRole.UNKNOWN

CALLS = {
    "en": """
        Agent: Thank you for calling Oak Street Pharmacy, this is Lena. How can I help you today?
        Customer: Hi, my prescription was supposed to be ready yesterday and nobody called me.
        Agent: I am sorry about that. May I have your date of birth, please?
        Customer: It's the fourth of May. I've been waiting since Monday and I really need it.
        Agent: Thank you. I can see it here, I will send it by courier. You will receive it by noon.
        Customer: Finally. I just don't understand why I had to call three times.
        Agent: I understand. I have added a note to your account. Anything else I can help with?
        Customer: No that's all, thanks
    """,
    "tr": """
        Agent: Meram Su Dağıtım müşteri hizmetleri, ben Aslı. Size nasıl yardımcı olabilirim?
        Customer: Merhaba, üç gündür suyumuz akmıyor, kaç kere aradım kimse bakmıyor.
        Agent: Yaşadığınız sorun için özür dilerim. Abone numaranızı alabilir miyim?
        Customer: 4471. Evde bebeğim var benim, daha ne kadar bekleyeceğim?
        Agent: Teşekkür ederim. Kaydınızı oluşturdum, ekibimiz bugün adresinize yönlendirilecektir.
        Customer: Geçen hafta da aynısını söylediniz ama gelen olmadı.
        Agent: Haklısınız, talebinizi öncelikli iletiyorum. Başka konuda yardımcı olabilir miyim?
        Customer: Yok, bekliyorum o zaman.
    """,
    "ar": """
        Agent: شركة المياه خدمة العملاء معك ليلى، كيف أقدر أساعدك؟
        Customer: السلام عليكم، المي مقطوعة عندي من ثلاث أيام وكل مرة أتصل ما حد يرد علي.
        Agent: نعتذر منك عن التأخير. ممكن تزودني برقم الحساب لو سمحت؟
        Customer: ٤٤٧١، أنا عندي طفل صغير وما أقدر أستنى أكثر.
        Agent: شكرا لك، تم رفع بلاغ للفريق وسيتم التواصل معك خلال ساعتين.
        Customer: نفس الكلام قلتوه لي الأسبوع الماضي وما جاني أحد.
        Agent: أتفهم انزعاجك، سأحول طلبك إلى المشرف. هل تحتاج أي مساعدة أخرى؟
        Customer: لا خلاص، بنتظر.
    """,
}


@pytest.fixture(scope="module")
def doctor() -> RoleDoctor:
    return RoleDoctor()


def call(language: str) -> Transcript:
    text = "\n".join(line.strip() for line in CALLS[language].strip().splitlines())
    (item,) = read(text)
    assert isinstance(item, Transcript)
    return item


def with_roles(item: Transcript, role_of: Callable[[TranscriptTurn], SpeakerRole]) -> Transcript:
    return replace(item, turns=tuple(replace(turn, role=role_of(turn)) for turn in item.turns))


def swapped(item: Transcript) -> Transcript:
    return with_roles(item, lambda turn: {A: C, C: A}.get(turn.role, turn.role))


def roles(item: Transcript) -> list[SpeakerRole]:
    return [turn.role for turn in item.turns]


@pytest.mark.parametrize("language", CALLS)
def test_right_roles_are_left_alone(doctor: RoleDoctor, language: str) -> None:
    item = call(language)
    diagnosis = doctor.diagnose(item)
    assert diagnosis.verdict is RoleVerdict.PLAUSIBLE
    assert diagnosis.warning is None
    assert corrected(item, diagnosis) == item


@pytest.mark.parametrize("language", CALLS)
def test_swapped_roles_are_told_and_put_right(doctor: RoleDoctor, language: str) -> None:
    item = call(language)
    diagnosis = doctor.diagnose(swapped(item))
    assert diagnosis.verdict is RoleVerdict.SWAPPED
    assert diagnosis.confidence > 0.9
    right = corrected(swapped(item), diagnosis)
    assert roles(right) == roles(item)
    assert [warning.code for warning in right.warnings] == [TranscriptWarningCode.ROLES_SWAPPED]
    assert diagnosis.warning is not None
    assert diagnosis.warning.message.endswith("; the roles are as given.")
    assert right.warnings[0].message.endswith("; the roles were corrected.")
    assert {(one.participant_id, one.role) for one in right.participants} == {
        ("Agent", A),
        ("Customer", C),
    }


@pytest.mark.parametrize("language", CALLS)
@pytest.mark.parametrize("role", [A, C, U])
def test_one_speaker_who_carries_both_is_told_and_parted(
    doctor: RoleDoctor, language: str, role: SpeakerRole
) -> None:
    item = call(language)
    one = with_roles(item, lambda _: role)
    one = replace(one, turns=tuple(replace(turn, participant_id="ch0") for turn in one.turns))
    diagnosis = doctor.diagnose(one)
    assert diagnosis.verdict is RoleVerdict.MIXED
    parted = corrected(one, diagnosis)
    assert roles(parted) == roles(item)
    assert {turn.participant_id for turn in parted.turns} == {""}
    assert parted.warnings[-1].code is TranscriptWarningCode.ROLES_MIXED


@pytest.mark.parametrize("language", CALLS)
def test_unknown_speakers_get_the_roles_of_their_words(doctor: RoleDoctor, language: str) -> None:
    item = call(language)
    unknown = with_roles(item, lambda _: U)
    told = TranscriptWarning(TranscriptWarningCode.ROLE_UNKNOWN, "8 turns")
    unknown = replace(unknown, warnings=(told,))
    diagnosis = doctor.diagnose(unknown)
    assert diagnosis.verdict is RoleVerdict.GUESSED
    right = corrected(unknown, diagnosis)
    assert roles(right) == roles(item)
    assert [one.code for one in right.warnings] == [TranscriptWarningCode.ROLES_GUESSED]
    # One of the two is known: only the other is guessed.
    half = with_roles(item, lambda turn: U if turn.role is C else A)
    assert doctor.diagnose(half).roles == tuple(roles(item))


def test_a_conversation_of_hours_is_parted(doctor: RoleDoctor) -> None:
    item = call("en")
    hours = replace(with_roles(item, lambda _: A), turns=with_roles(item, lambda _: A).turns * 500)
    assert doctor.diagnose(hours).roles == tuple(roles(item)) * 500


def test_words_without_cues_decide_nothing(doctor: RoleDoctor) -> None:
    (item,) = read("Agent: Zxqv blorp.\nCustomer: Grunf wibble.\n")
    assert isinstance(item, Transcript)
    assert doctor.diagnose(item).verdict is RoleVerdict.UNDECIDED
    nobody = replace(item, turns=())
    assert doctor.diagnose(nobody).roles == ()


def test_a_bot_stays_a_bot_and_a_supervisor_one_of_the_company(doctor: RoleDoctor) -> None:
    item = call("en")
    greeting = replace(item.turns[0], role=SpeakerRole.BOT)
    boss = replace(item.turns[4], role=SpeakerRole.SUPERVISOR)
    mixed = replace(item, turns=(greeting, *item.turns[1:4], boss, *item.turns[5:]))
    assert doctor.diagnose(mixed).roles == tuple(roles(mixed))
    right = doctor.diagnose(swapped(mixed)).roles
    assert right[0] is SpeakerRole.BOT
    assert right[1:4] == (C, A, C)


def test_the_samples_of_the_service_raise_no_alarm(doctor: RoleDoctor) -> None:
    for item in read(read_samples()):
        assert isinstance(item, Transcript)
        assert doctor.diagnose(item).warning is None
        assert doctor.diagnose(swapped(item)).verdict in {
            RoleVerdict.SWAPPED,
            RoleVerdict.UNDECIDED,
        }


@given(st.text(max_size=200))
def test_one_turn_never_decides_alone(text: str) -> None:
    cues = RoleCues(dict.fromkeys(cues_of(text), 9.0), intercept=0.0, scale=1.0)
    assert abs(cues.score(text)) <= MAX_TURN_SCORE


@given(
    st.lists(
        st.tuples(st.sampled_from([A, C, U, SpeakerRole.BOT]), st.integers(-4, 4)), max_size=30
    )
)
def test_a_diagnosis_gives_every_turn_a_role_and_keeps_bots(
    said: list[tuple[SpeakerRole, int]],
) -> None:
    """Whatever is said, and swapping the roles turns the finding round."""
    words = {str(number): f"w{chr(101 + number)}" for number in range(-4, 5)}
    cues = RoleCues({word: float(number) for number, word in words.items()}, 0.0, 1.0)
    turns = tuple(
        TranscriptTurn(role=role, text=words[str(number)], participant_id=role)
        for role, number in said
    )
    item = Transcript(conversation_id="c", format_name="f", turns=turns)
    diagnosis = RoleDoctor(cues).diagnose(item)
    assert len(diagnosis.roles) == len(turns)
    assert 0.5 <= diagnosis.confidence <= 1.0
    for turn, role in zip(turns, diagnosis.roles, strict=True):
        assert turn.is_bot == (role is SpeakerRole.BOT)
    if diagnosis.verdict is RoleVerdict.SWAPPED:
        again = RoleDoctor(cues).diagnose(corrected(item, diagnosis))
        assert again.verdict is not RoleVerdict.SWAPPED


def test_spellings_that_vary_are_one_cue() -> None:
    assert cues_of("İYİ GÜNLER") == cues_of("iyi gunler")
    assert cues_of("أهلاً إلى خدمة") == cues_of("اهلا الي خدمه")
    assert cues_of("12 days?") == {"#", "days", "?", "# days", "days ?", "^ #"}
