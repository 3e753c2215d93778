"""Actions of live conversations leave the server by themselves, signed and masked."""

import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.app import open_keeper
from moodline.rules.rule_set import RuleSet
from moodline.settings import load_settings
from moodline.telemetry.metrics import Metrics
from tests.integration.action_receiver import SECRET, receiver
from tests.integration.harness import configuration, converse, serving, streamed

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_signal_reaches_the_webhook_while_the_conversation_goes_on(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    with receiver() as hook:
        endpoint = {
            "kind": "route",
            "target": "*",
            "url": hook.url,
            "secrets": [SECRET],
            "allow_private": True,
        }
        endpoints = tmp_path / "endpoints.yaml"
        endpoints.write_text(json.dumps({"endpoints": [endpoint]}))
        settings = load_settings(
            {
                "MOODLINE_STORE__URL": f"sqlite:///{tmp_path}/moodline.db",
                "MOODLINE_ACTIONS__ENDPOINTS_FILE": str(endpoints),
            }
        )
        metrics = Metrics(CollectorRegistry())
        async with (
            open_keeper(settings, rule_set=RuleSet.default(), metrics=metrics) as keeper,
            serving(analyzer, keeper=keeper) as served,
        ):
            text = "My card 4111 1111 1111 1111 was stolen and somebody is using it, this is fraud!"
            await converse(
                served.stub.StreamConversation(), [configuration("c1"), streamed("t0", text)]
            )
            await hook.came(1)
        request = hook.received[0]
        assert request.is_signed_with(SECRET)
        assert b"4111" not in request.body
        assert request.message["data"]["action"]["kind"] == "route"
        assert request.message["data"]["signal"]["route"] in {"fraud", "supervisor"}
