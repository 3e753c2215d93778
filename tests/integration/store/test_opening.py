"""A store opens whole and up to date, or says clearly why it cannot."""

from __future__ import annotations

import asyncio
import stat
import traceback
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from moodline.errors import StoreError, StoreUnavailableError
from moodline.store.database import Database, parse_url, transactions_on
from moodline.store.notices import Notices
from moodline.store.schema import bring_up_to_date
from moodline.store.signals import SignalStore
from moodline.store.tables import METADATA, contacts
from tests.integration.store.conftest import OpenDatabase
from tests.integration.store.making import NOW, TENANT, contact, raised

SCRIPTS = ScriptDirectory(str(files("moodline.store") / "migrations"))
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]


async def refusal(url: str, *, migrate: bool = True) -> StoreError:
    with pytest.raises(StoreError) as refused:
        await Database.open(url, migrate=migrate)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))
    return refused.value


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "no URL"),
        ("s3cret", "no URL"),
        ("postgresql://u:s3cret@h:port/db", "no URL"),
        ("mysql://u:s3cret@h/db", "'mysql' is no database"),
        ("postgresql+psycopg://u:s3cret@h/db", "psycopg' is no database"),
        ("postgresql://u:a@s3cret@h/db", "%40"),
        ("postgresql://u:s3cret@h/db?sslmod=require", "'sslmod' is unknown"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite://moodline.db", "needs a file"),
        ("sqlite:////nowhere/at/all/moodline.db", "/nowhere/at/all does not exist"),
        ("sqlite:////proc/moodline.db", "cannot be written"),
        ("sqlite:////proc", "is a folder"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused(url: str, message: str) -> None:
    error = await refusal(url)
    assert message in str(error)
    assert not isinstance(error, StoreUnavailableError)


async def test_a_database_that_does_not_answer_is_named_without_its_password(
    unused_tcp_port: int,
) -> None:
    error = await refusal(f"postgresql://u:s3cret@127.0.0.1:{unused_tcp_port}/moodline")
    assert isinstance(error, StoreUnavailableError)
    assert f"127.0.0.1, port {unused_tcp_port}" in str(error)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Bring milk. " * 100)
    error = await refusal(f"sqlite:///{tmp_path}/notes.txt")
    assert f"{tmp_path}/notes.txt" in str(error)


async def test_an_empty_database_is_migrated_only_if_that_is_allowed(database_url: str) -> None:
    assert "allow it to migrate" in str(await refusal(database_url, migrate=False))
    await (await Database.open(database_url)).close()
    await (await Database.open(database_url, migrate=False)).close()


async def test_replicas_that_start_together_migrate_once(open_database: OpenDatabase) -> None:
    database, *_ = await asyncio.gather(*(open_database() for _ in range(5)))
    known = text("SELECT version_num FROM alembic_version")
    found = await database.read(lambda connection: connection.scalars(known).all())
    assert found == REVISIONS[-1:]


async def test_a_newer_schema_is_refused(database_url: str, open_database: OpenDatabase) -> None:
    database = await open_database()
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    await database.write(lambda connection: connection.execute(newer))
    error = await refusal(database_url)
    assert "revision 9999, which this program does not know" in str(error)
    assert not isinstance(error, StoreUnavailableError)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_revision_leads_to_the_tables_of_the_program(
    database_url: str, open_database: OpenDatabase, revision: str
) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    older = transactions_on(parse_url(database_url), Notices())
    await older.open(partial(bring_up_to_date, migrate=True, revision=revision))
    await older.close()
    database = await open_database()
    assert await database.read(differences) == []
    await SignalStore(database).record(contact(), [raised()], at=NOW)
    # Opening once more changes nothing.
    assert await SignalStore(await open_database()).last_position(TENANT) == 1


async def test_errors_tell_nothing_of_customers(open_database: OpenDatabase) -> None:
    database = await open_database()
    names = ("tenant", "conversation_id", "customer_id", "channel", "language", "outcome")
    insert = contacts.insert().values({**dict.fromkeys(names, "s3cret"), "started_at": NOW})

    def insert_twice(connection: Connection) -> None:
        connection.execute(insert)
        connection.execute(insert)

    with pytest.raises(StoreUnavailableError) as failed:
        await database.write(insert_twice)
    assert "s3cret" not in "".join(traceback.format_exception(failed.value))
    rows = await database.read(lambda connection: connection.execute(contacts.select()).all())
    assert rows == []


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_is_durable_and_for_its_owner_alone(
    tmp_path: Path, open_database: OpenDatabase
) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    database = await open_database()
    pragmas = await database.read(
        lambda connection: [connection.scalar(text(f"PRAGMA {name}")) for name in names]
    )
    assert pragmas == ["wal", 2, 1, 1]
    assert modes(tmp_path) == {0o600}
