"""What the bundled model must do, whatever its exact figures (those stand in its card)."""

import gc
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.app import find_artifact, open_analyzer
from moodline.artifact import Artifact
from moodline.domain import Absence, Conversation, ConversationAnalysis, Role, Turn
from moodline.engine import OnnxEncoder
from moodline.errors import ArtifactError
from moodline.samples import load_samples
from moodline.settings import load_settings
from moodline.telemetry.metrics import Metrics

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_ARTIFACT_BYTES = 60_000_000
MAX_FILE_BYTES = 95_000_000
MAX_KEPT_BYTES_PER_TURN = 400


TELLING_WORDS = {
    "The box was blue and the label was small, but the service is absolutely terrible": "terrible",
    "I ordered on Monday in the evening and your driver was wonderful to my mother": "wonderful",
    "My flight leaves from the second terminal in twenty minutes": "twenty minutes",
    "Hi, it is Sara from the corner shop, I am furious about the last delivery": "furious",
    "Somebody stole my card near the station and is buying shoes with it": "stole my card",
    "The colour of the new menu is fine, I want to cancel my contract": "cancel my contract",
    "Kutu maviydi, etiket de küçüktü ama hizmetiniz tek kelimeyle rezalet": "rezalet",
    "Pazartesi akşamı sipariş verdim, kurye anneme karşı harikaydı": "harikaydı",
    "Merhaba ben köşedeki dükkandan Selin, bu gecikme yüzünden çok sinirliyim": "çok sinirliyim",
    "İstasyonun yanında kartımı çaldılar, şu an harcama yapıyorlar": "kartımı çaldılar",
    "الصندوق لونه أزرق والملصق صغير لكن الخدمة سيئة جدا": "سيئة جدا",
    "طلبت يوم الاثنين في المساء والمندوب كان رائع مع أمي": "رائع",
    "مرحبا أنا سارة من المحل على الزاوية وأنا غاضبة من التأخير": "غاضبة",
    "سرقوا بطاقتي قرب المحطة ويشترون بها الآن": "سرقوا بطاقتي",
}
MIN_TELLING_SHARE = 0.8


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return find_artifact(load_settings({}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def analyzer(artifact: Artifact) -> AsyncIterator[ConversationAnalyzer]:
    deaths: list[BaseException] = []
    async with open_analyzer(
        load_settings({}),
        artifact=artifact,
        metrics=Metrics(CollectorRegistry()),
        on_fatal=deaths.append,
    ) as opened:
        yield opened
    assert not deaths


async def read(analyzer: ConversationAnalyzer, *texts: str) -> ConversationAnalysis:
    """Customer and agent in turns, the customer first."""
    roles = (Role.CUSTOMER, Role.AGENT)
    turns = tuple(Turn(roles[i % 2], text) for i, text in enumerate(texts))
    return await analyzer.analyze(Conversation("c", turns))


async def test_an_agents_words_are_never_the_customers_mood(analyzer: ConversationAnalyzer) -> None:
    analysis = await read(analyzer, "Where is my parcel?", "You are an idiot, this is disgusting.")
    customer, agent = analysis.turns
    assert agent.scores is None
    assert agent.absence is Absence.NOT_CUSTOMER
    assert customer.scores is not None
    assert analysis.rollup.sentiment is not None
    assert analysis.rollup.sentiment.score == pytest.approx(customer.scores.sentiment.score)


async def test_the_telling_words_are_quoted(analyzer: ConversationAnalyzer) -> None:
    found = 0
    for text, telling in TELLING_WORDS.items():
        (turn,) = (await read(analyzer, text)).turns
        assert turn.scores is not None
        start, end = text.index(telling), text.index(telling) + len(telling)
        found += any(quote.start < end and start < quote.end for quote in turn.scores.evidence)
    assert found >= MIN_TELLING_SHARE * len(TELLING_WORDS)


async def test_a_result_never_depends_on_later_turns(analyzer: ConversationAnalyzer) -> None:
    for sample in load_samples():
        whole = await analyzer.analyze(sample)
        for length in (1, len(sample.turns) // 2):
            part = await analyzer.analyze(
                Conversation("part", sample.turns[:length], language=sample.language)
            )
            for early, late in zip(part.turns, whole.turns, strict=False):
                if early.scores is not None:
                    assert late.scores is not None
                    assert early.scores.sentiment.score == pytest.approx(
                        late.scores.sentiment.score, abs=1e-4
                    )
                    assert early.scores.escalation.probability == pytest.approx(
                        late.scores.escalation.probability, abs=1e-4
                    )


async def test_history_changes_the_result_of_the_same_words(analyzer: ConversationAnalyzer) -> None:
    alone = await read(analyzer, "OK")
    after = await read(
        analyzer,
        "My card was stolen and they are emptying my account right now!",
        "I am blocking it, one moment.",
        "OK",
    )
    first, last = alone.turns[0].scores, after.turns[2].scores
    assert first is not None
    assert last is not None
    assert last.escalation.probability > first.escalation.probability


async def test_the_end_of_a_turn_of_many_windows_still_counts(
    analyzer: ConversationAnalyzer,
) -> None:
    calm = "I would like to describe my order in detail. " * 40
    furious = calm + "You are liars and thieves, I hate this disgusting company! " * 8
    before, after = [(await read(analyzer, text)).turns[0].scores for text in (calm, furious)]
    assert before is not None
    assert after is not None
    assert after.sentiment.score < before.sentiment.score - 0.05


async def test_evidence_quotes_the_text_by_code_points(analyzer: ConversationAnalyzer) -> None:
    text = "😡😡 Üçüncü kez arıyorum, bu rezaleti artık avukatıma taşıyorum!"
    scores = (await read(analyzer, text)).turns[0].scores
    assert scores is not None
    assert scores.evidence
    for evidence in scores.evidence:
        assert evidence.text == text[evidence.start : evidence.end]
        assert evidence.text.strip()


async def test_a_row_does_not_depend_on_its_batch(artifact: Artifact) -> None:
    encoder = OnnxEncoder(artifact, intra_op_threads=2)
    rng = np.random.default_rng(11)
    ids = rng.integers(4, 50_000, size=(24, 64))
    mask = np.ones_like(ids)
    mask[1::2, 40:] = 0
    together = encoder.encode(ids, mask)
    for row in range(6):
        length = int(mask[row].sum())
        alone = encoder.encode(ids[row : row + 1, :length], mask[row : row + 1, :length])
        np.testing.assert_allclose(alone.vectors[0], together.vectors[row], atol=2e-5)


async def test_the_artifact_stays_small(artifact: Artifact) -> None:
    sizes = [path.stat().st_size for path in artifact.directory.iterdir()]
    assert sum(sizes) <= MAX_ARTIFACT_BYTES
    assert max(sizes) <= MAX_FILE_BYTES


async def test_the_card_gives_a_figure_for_every_head(artifact: Artifact) -> None:
    figures = artifact.manifest.metrics["shipped"]
    assert isinstance(figures, dict)
    found = {key for parts in figures.values() for part in parts.values() for key in part}
    assert {
        "sentiment3_macro_f1",
        "sentiment_macro_f1",
        "urgency_macro_f1",
        "stage_macro_f1",
        "tags_macro_f1",
        "escalation_macro_f1",
        "csat_macro_f1",
    } <= found


async def test_a_stream_of_thousands_of_turns_keeps_little_of_each(
    analyzer: ConversationAnalyzer,
) -> None:
    """What a session keeps is a hash a final turn and a number a customer turn, not the turns."""
    session = analyzer.open_session(conversation_id="long", language="en")
    texts = [f"{'Yes and then it stopped working again. ' * 20}{n}" for n in range(3)]

    async def add(first: int, count: int) -> None:
        for n in range(first, first + count):
            role = (Role.CUSTOMER, Role.AGENT)[n % 2]
            # Short repeated turns come from the cache; a long one now and then does not.
            text = texts[n % 3] if n % 200 == 0 else "OK, thanks"
            await session.add_turn(Turn(role, text, turn_id=f"turn-{n}"), is_final=True)

    await add(0, 500)
    gc.collect()
    tracemalloc.start()
    try:
        await add(500, 2000)
        gc.collect()
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes / 2000 < MAX_KEPT_BYTES_PER_TURN
    summary = session.finish()
    assert summary.turns == ()
    assert summary.rollup.sentiment is not None
    assert summary.rollup.sentiment.customer_turn_count == 1250


async def test_a_model_that_no_longer_gives_its_golden_scores_is_not_served(
    artifact: Artifact,
) -> None:
    first, *others = artifact.manifest.golden
    turns = tuple(
        turn.model_copy(update={"sentiment_score": -(turn.sentiment_score or 0.0)})
        if turn.sentiment_score is not None
        else turn
        for turn in first.turns
    )
    turned_over = first.model_copy(update={"turns": turns})
    manifest = artifact.manifest.model_copy(update={"golden": (turned_over, *others)})
    with pytest.raises(ArtifactError, match=f"golden {first.conversation_id}"):
        async with open_analyzer(
            load_settings({}),
            artifact=replace(artifact, manifest=manifest),
            metrics=Metrics(CollectorRegistry()),
            on_fatal=lambda _: None,
        ):
            pass
