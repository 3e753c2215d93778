"""What works on the store besides calls, and how a server finds its rules and its store."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from moodline import app
from moodline.errors import SettingsError, StoreError, StoreUnavailableError
from moodline.keeping.upkeep import keep_up, keep_up_once
from moodline.settings import RulesSettings, StoreSettings
from moodline.signals.domain import SignalState
from moodline.store.database import Database
from moodline.store.signals import SignalStore
from moodline.telemetry.metrics import Metrics
from tests.integration.harness import default_rules, eventually, settings
from tests.integration.store.making import NOW, TENANT, after, contact, raised, signal


@pytest.mark.asyncio(loop_scope="session")
async def test_time_expires_open_signals_and_deletes_old_ones(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/m.db")
    store = SignalStore(database)
    await store.record(contact(), [raised()], at=NOW)
    week = timedelta(days=7)
    metrics = Metrics(CollectorRegistry())
    await keep_up_once(store, retention=week, metrics=metrics, at=after(minutes=59))
    kept = await store.get(TENANT, signal().signal_id)
    assert kept is not None
    assert kept.signal.state is SignalState.RAISED
    assert metrics.registry.get_sample_value("moodline_signals_overdue_total") == 0
    await keep_up_once(store, retention=week, metrics=metrics, at=after(minutes=61))
    assert metrics.registry.get_sample_value("moodline_signals_overdue_total") == 1
    kept = await store.get(TENANT, signal().signal_id)
    assert kept is not None
    assert kept.signal.state is SignalState.EXPIRED
    await database.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_upkeep_goes_on_after_the_store_has_failed(tmp_path: Path) -> None:
    class Failing(SignalStore):
        call_count = 0

        async def expire_due(self, **options: object) -> int:
            Failing.call_count += 1
            raise StoreUnavailableError("the database failed")

    database = await Database.open(f"sqlite:///{tmp_path}/m.db")
    task = asyncio.create_task(
        keep_up(
            Failing(database),
            retention=timedelta(days=1),
            metrics=Metrics(CollectorRegistry()),
            interval_s=0.0,
        )
    )
    await eventually(lambda: Failing.call_count > 2)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await database.close()


def test_signals_are_kept_in_the_state_folder_unless_settings_say(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "moodline"
    assert app.store_url(settings(), folder) == f"sqlite:///{folder}/moodline.db"
    assert folder.stat().st_mode & 0o077 == 0
    assert app.store_url(settings(), None) is None
    none = settings(store=StoreSettings(url=SecretStr("none")))
    assert app.store_url(none, folder) is None
    own = settings(store=StoreSettings(url=SecretStr("postgresql://u:p@db/moodline")))
    assert app.store_url(own, folder) == "postgresql://u:p@db/moodline"
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="MOODLINE_STORE__URL is not set"):
        app.store_url(settings(), tmp_path / "file" / "moodline")


def test_rules_that_cannot_be_used_are_refused_with_file_line_and_rule(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    with pytest.raises(SettingsError, match=r"MOODLINE_RULES__PATH: .*my\.yaml"):
        app.find_rules(settings(rules=RulesSettings(path=file)))
    file.write_text(
        "version: 1\nname: mine\nrules:\n  - id: a\n    explanation: {en: x}\n"
        "    reason: other\n    severity: low\n    when: turm.index > 1\n"
    )
    with pytest.raises(SettingsError, match=r"my\.yaml:8: rule a: rules\[0\].when: "):
        app.find_rules(settings(rules=RulesSettings(path=file)))


@pytest.mark.asyncio(loop_scope="session")
async def test_a_store_that_cannot_be_used_keeps_a_server_from_starting(tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path}/missing/m.db")
    opening = app.open_keeper(
        settings(store=StoreSettings(url=url)),
        rule_set=default_rules(),
        metrics=Metrics(CollectorRegistry()),
    )
    with pytest.raises(StoreError, match="does not exist"):
        await opening.__aenter__()
