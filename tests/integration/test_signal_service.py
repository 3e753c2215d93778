"""SignalService over a real server and model, on both stores where it matters."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import yaml

from moodline.analyzer import ConversationAnalyzer
from moodline.client import AsyncMoodlineClient
from moodline.rules.rule_set import RuleSet
from moodline.settings import AuthSettings
from moodline.v1.signal_pb2 import Signal
from moodline.v1.signal_service_pb2 import (
    AcknowledgeSignalRequest,
    ListSignalsRequest,
    ResolveSignalRequest,
    SignalFilter,
    ValidateRulesRequest,
    WatchSignalsRequest,
)
from moodline.v1.signal_service_pb2_grpc import SignalServiceStub
from tests.integration.harness import SERVICE, health_stub, refusal, settings
from tests.integration.postgres import Postgres
from tests.integration.signal_harness import (
    ANGRY,
    FRAUD,
    SAMPLES,
    Keeping,
    all_events,
    keeping,
    messages_of,
    next_event,
    next_message,
    told,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY = "0" * 32


@pytest_asyncio.fixture(loop_scope="session", params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/moodline.db"
    server: Postgres = request.getfixturevalue("postgres")
    return await server.create_database()


@pytest_asyncio.fixture(loop_scope="session")
async def kept(analyzer: ConversationAnalyzer, tmp_path: Path) -> AsyncIterator[Keeping]:
    async with keeping(analyzer, f"sqlite:///{tmp_path}/moodline.db") as server:
        yield server


async def signals_of(kept: Keeping, **fields: Any) -> list[Signal]:
    signal_filter = SignalFilter(**fields)
    return list((await kept.signals.ListSignals(ListSignalsRequest(filter=signal_filter))).signals)


async def test_a_watch_goes_on_over_a_restart_and_misses_and_repeats_nothing(
    analyzer: ConversationAnalyzer, url: str
) -> None:
    async with keeping(analyzer, url) as before:
        watch = before.watch()
        await watch.read()
        first = told(await before.talk(*messages_of(SAMPLES[ANGRY])))
        seen = [await next_event(watch) for _ in first[:2]]
        watch.cancel()
        # Happens while nobody watches.
        second = told(await before.talk(*messages_of(SAMPLES[FRAUD])))
    async with keeping(analyzer, url) as after:
        watch = after.watch(resume_token=seen[-1].resume_token)
        third = told(await after.talk(*messages_of(SAMPLES["sample-tr-late-parcel"])))
        all_ids = [event_id for _, _, event_id in first + second + third]
        seen += [await next_event(watch) for _ in all_ids[2:]]
        watch.cancel()
    assert [message.event.event_id for message in seen] == all_ids
    assert all(message.event.event_time.seconds for message in seen)
    ends = [m.event for m in seen if m.event.kind == "EXPIRED"]
    assert ends
    # The conversation did it, so there is a point of it at which it happened.
    assert all(event.HasField("moment") for event in ends)


async def test_the_client_watches_on_by_itself_over_a_restart(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/moodline.db"
    async with keeping(analyzer, url) as before:
        port = before.served.rpc.port
        client = AsyncMoodlineClient(f"127.0.0.1:{port}")
        watch = client.signals.watch(resume_token=(await client.signals.list()).watch_token)
        events = aiter(watch)
        first = told(await before.talk(*messages_of(SAMPLES[ANGRY])))
        seen = [await anext(events) for _ in first]
        await before.served.rpc.drain()
    again = settings(server=settings().server.model_copy(update={"port": port}))
    async with keeping(analyzer, url, with_settings=again) as after:
        second = told(await after.talk(*messages_of(SAMPLES[FRAUD])))
        seen += [await anext(events) for _ in second]
        await events.aclose()
        await client.close()
    assert [event.event_id for event in seen] == [i for _, _, i in first + second]


async def test_two_replicas_see_each_others_signals_and_acknowledgements(
    analyzer: ConversationAnalyzer, postgres: Postgres
) -> None:
    url = await postgres.create_database()
    async with (
        keeping(analyzer, url, poll_s=3_600) as here,
        keeping(analyzer, url, poll_s=3_600) as there,
    ):
        watch = there.watch()
        await watch.read()
        own = told(await here.talk(*messages_of(SAMPLES[FRAUD])))
        heard = [await next_event(watch) for _ in own]
        assert [m.event.event_id for m in heard] == [event_id for _, _, event_id in own]
        (signal,) = await signals_of(here, causes=["fraud"])
        await there.signals.AcknowledgeSignal(AcknowledgeSignalRequest(signal_id=signal.signal_id))
        acknowledged = (await next_event(watch)).event
        (known,) = await signals_of(here, causes=["fraud"])
        watch.cancel()
    assert (acknowledged.kind, acknowledged.signal.acknowledged_by) == ("ACKNOWLEDGED", "anonymous")
    assert not acknowledged.HasField("moment")
    assert known.state == "ACKNOWLEDGED"


async def test_a_token_moves_on_though_the_filter_lets_nothing_pass(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    async with keeping(analyzer, f"sqlite:///{tmp_path}/m.db", heartbeat_s=0.01) as kept:
        watch = kept.watch(filter=SignalFilter(causes=["legal_threat"]))
        first = await next_message(watch)
        own = told(await kept.talk(*messages_of(SAMPLES[ANGRY])))
        token = ""
        last_position = await kept.store.last_position("default")
        beyond = kept.watch(resume_token=first.resume_token)
        for _ in own:
            token = (await next_event(beyond)).resume_token
        while (message := await next_message(watch)).resume_token != token:
            assert not message.HasField("event")
        assert last_position == len(own)
        beyond.cancel()
        watch.cancel()


async def test_watches_end_when_the_server_drains(kept: Keeping) -> None:
    watch = kept.watch()
    await watch.read()
    await kept.served.rpc.drain()
    answer = await refusal(watch.read())
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_watch_tells_only_what_its_filter_asks_for(kept: Keeping) -> None:
    watch = kept.watch(
        filter=SignalFilter(
            min_severity="high", states=["RAISED"], conversation_id=ANGRY, routes=["retention"]
        )
    )
    await watch.read()
    for name in (FRAUD, ANGRY):
        await kept.talk(*messages_of(SAMPLES[name]))
    event = (await next_event(watch)).event
    watch.cancel()
    assert (event.signal.conversation_id, event.signal.cause) == (ANGRY, "churn_risk")


async def test_a_list_is_filtered_and_paged_while_signals_come(
    analyzer: ConversationAnalyzer, url: str
) -> None:
    async with keeping(analyzer, url) as kept:
        await kept.talk(*messages_of(SAMPLES[ANGRY], customer_id="joel"))
        await kept.talk(*messages_of(SAMPLES["sample-tr-late-parcel"]))
        everything = await signals_of(kept)
        assert [s.raise_time.ToDatetime() for s in everything] == sorted(
            (s.raise_time.ToDatetime() for s in everything), reverse=True
        )
        page = await kept.signals.ListSignals(ListSignalsRequest(page_size=2))
        found = list(page.signals)
        await kept.talk(*messages_of(SAMPLES[FRAUD]))
        while page.next_page_token:
            page = await kept.signals.ListSignals(
                ListSignalsRequest(page_size=2, page_token=page.next_page_token)
            )
            found += page.signals
        assert [s.signal_id for s in found] == [s.signal_id for s in everything]
        now = datetime.now(UTC)
        hour = timedelta(hours=1)
        asked: list[dict[str, Any]] = [
            {"customer_id": "joel"},
            {"states": ["CLEARED", "EXPIRED"]},
            {"min_severity": "high"},
            {"reasons": ["sentiment_collapse"]},
            {"raised_before": now - hour},
            {"raised_from": now - hour, "conversation_id": FRAUD},
        ]
        everything = await signals_of(kept)
        wanted = [
            [s.customer_id == "joel" for s in everything],
            [s.state in {"CLEARED", "EXPIRED"} for s in everything],
            [s.severity in {"high", "critical"} for s in everything],
            [s.reason == "sentiment_collapse" for s in everything],
            [False],
            [s.conversation_id == FRAUD for s in everything],
        ]
        counts = [len(await signals_of(kept, **fields)) for fields in asked]
        own = {s.cause: s for s in await signals_of(kept, customer_id="joel")}
    assert counts == [sum(fits) for fits in wanted]
    assert all(0 < count < len(everything) for count in counts[:4] + counts[5:])
    assert own["churn_risk"].language == "en"
    assert own["churn_risk"].channel == "call"
    assert own["churn_risk"].explanation["tr"]
    assert own["churn_risk"].HasField("update_time")
    assert not own["churn_risk"].HasField("end_time")


async def test_what_people_say_of_a_signal_is_kept_once(kept: Keeping) -> None:
    await kept.talk(*messages_of(SAMPLES[ANGRY]))
    (signal,) = await signals_of(kept, causes=["churn_risk"])
    stub = kept.signals
    for by in ("ada", "bob"):
        acknowledged = await stub.AcknowledgeSignal(
            AcknowledgeSignalRequest(signal_id=signal.signal_id, acknowledged_by=by)
        )
        assert acknowledged.signal.acknowledged_by == "ada"
    right = ResolveSignalRequest(
        signal_id=signal.signal_id,
        outcome="RIGHT",
        resolved_by="ada",
        comment="Card 4111 1111 1111 1111 refunded",
    )
    resolved = (await stub.ResolveSignal(right)).signal
    assert (resolved.state, resolved.outcome) == ("RESOLVED", "RIGHT")
    assert resolved.HasField("end_time")
    await stub.ResolveSignal(right)
    stored = await kept.store.get("default", signal.signal_id)
    assert stored is not None
    assert "refunded" in stored.comment
    assert "4111" not in stored.comment
    kinds = [e.kind for e in await all_events(kept.store) if e.signal.signal.cause == "churn_risk"]
    assert kinds[-2:] == ["ACKNOWLEDGED", "RESOLVED"]
    right.outcome = "WRONG"
    answer = await refusal(stub.ResolveSignal(right))
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SIGNAL_STATE")
    answer = await refusal(
        stub.AcknowledgeSignal(AcknowledgeSignalRequest(signal_id=signal.signal_id))
    )
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SIGNAL_STATE")


async def test_what_is_wrong_with_a_request_is_told_together(kept: Keeping) -> None:
    wrong = SignalFilter(states=["OPEN"], min_severity="urgent", reasons=["x"], routes=["y"])
    answer = await refusal(kept.signals.ListSignals(ListSignalsRequest(filter=wrong, page_size=-1)))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(answer.violations) == {
        "filter.states[0]", "filter.min_severity", "filter.reasons[0]", "filter.routes[0]",
        "page_size",
    }  # fmt: skip
    answer = await refusal(
        kept.signals.ResolveSignal(ResolveSignalRequest(outcome="MAYBE", comment="x" * 2001))
    )
    assert set(answer.violations) == {"signal_id", "outcome", "comment"}
    for call in (
        kept.signals.AcknowledgeSignal(AcknowledgeSignalRequest(signal_id=NOBODY)),
        kept.signals.ResolveSignal(ResolveSignalRequest(signal_id=NOBODY, outcome="RIGHT")),
    ):
        answer = await refusal(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "SIGNAL_NOT_FOUND")


@pytest.mark.parametrize("token", ["x", "AAAA", "é", "W10", "WyJ3MSIsIiIsMF0"])
async def test_tokens_that_were_not_given_are_refused(kept: Keeping, token: str) -> None:
    answer = await refusal(kept.signals.ListSignals(ListSignalsRequest(page_token=token)))
    assert set(answer.violations) == {"page_token"}
    answer = await refusal(kept.watch(resume_token=token).read())
    assert set(answer.violations) == {"resume_token"}


async def test_a_page_token_holds_for_its_filter_alone(kept: Keeping) -> None:
    await kept.talk(*messages_of(SAMPLES[ANGRY]))
    page = await kept.signals.ListSignals(ListSignalsRequest(page_size=1))
    answer = await refusal(
        kept.signals.ListSignals(
            ListSignalsRequest(
                page_token=page.next_page_token, filter=SignalFilter(min_severity="high")
            )
        )
    )
    assert set(answer.violations) == {"page_token"}


async def test_a_token_of_a_store_that_was_replaced_is_refused(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    async with keeping(analyzer, f"sqlite:///{tmp_path}/old.db") as old:
        await old.talk(*messages_of(SAMPLES[ANGRY]))
        token = (await old.signals.ListSignals(ListSignalsRequest())).watch_token
    async with keeping(analyzer, f"sqlite:///{tmp_path}/new.db") as new:
        answer = await refusal(new.watch(resume_token=token).read())
    assert set(answer.violations) == {"resume_token"}


async def test_tenants_see_and_change_nothing_of_each_other(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    entries = [
        {
            "name": name,
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
            "tenant": tenant,
            "scopes": scopes,
        }
        for name, tenant, scopes in (
            ("acme", "acme", ["analysis", "signals"]),
            ("other", "other", ["signals"]),
            ("deaf", "acme", ["analysis"]),
        )
    ]
    file = tmp_path / "tokens.yaml"
    file.write_text(yaml.safe_dump({"tokens": entries}))
    with_settings = settings(auth=AuthSettings(mode="token", tokens_file=file))
    metadata = {name: (("authorization", f"Bearer {name}"),) for name in ("acme", "other", "deaf")}
    url = f"sqlite:///{tmp_path}/m.db"
    async with keeping(analyzer, url, with_settings=with_settings) as kept:
        call = kept.served.stub.StreamConversation(metadata=metadata["acme"])
        await call.initial_metadata()
        for message in messages_of(SAMPLES[ANGRY]):
            await call.write(message)
        await call.done_writing()
        assert told([answer async for answer in call])
        stub = SignalServiceStub(kept.served.channel)
        own = await stub.ListSignals(ListSignalsRequest(), metadata=metadata["acme"])
        assert own.signals
        theirs = await stub.ListSignals(ListSignalsRequest(), metadata=metadata["other"])
        assert not theirs.signals
        signal_id = next(s.signal_id for s in own.signals if s.state == "RAISED")
        answer = await refusal(
            stub.AcknowledgeSignal(
                AcknowledgeSignalRequest(signal_id=signal_id), metadata=metadata["other"]
            )
        )
        assert answer.code is grpc.StatusCode.NOT_FOUND
        foreign = WatchSignalsRequest(resume_token=own.watch_token)
        answer = await refusal(stub.WatchSignals(foreign, metadata=metadata["other"]).read())
        assert set(answer.violations) == {"resume_token"}
        answer = await refusal(stub.ListSignals(ListSignalsRequest(), metadata=metadata["deaf"]))
        assert answer.code is grpc.StatusCode.PERMISSION_DENIED
        by = await stub.AcknowledgeSignal(
            AcknowledgeSignalRequest(signal_id=signal_id), metadata=metadata["acme"]
        )
        assert by.signal.acknowledged_by == "acme"


async def test_rules_are_checked_with_lines_and_fields(kept: Keeping) -> None:
    rules = files("moodline.rules").joinpath("default.yaml").read_text("utf-8")
    valid = await kept.signals.ValidateRules(ValidateRulesRequest(rules_yaml=rules))
    assert valid.rule_set_digest == RuleSet.default().digest
    assert not valid.problems
    broken = rules.replace("turn.", "turm.")
    answer = await kept.signals.ValidateRules(ValidateRulesRequest(rules_yaml=broken))
    assert not answer.rule_set_digest
    assert answer.problem_count >= len(answer.problems) > 1
    problem = answer.problems[0]
    assert broken.splitlines()[problem.line - 1 :]
    assert problem.rule_id
    assert problem.field.startswith("rules[")
    assert "turm" in problem.description


async def test_the_service_has_its_own_health_and_is_reflected(kept: Keeping) -> None:
    from grpc_health.v1 import health_pb2

    stub = health_stub(kept.served.channel)
    for service in (SERVICE, "moodline.v1.SignalService"):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
