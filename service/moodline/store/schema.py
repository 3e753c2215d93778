"""Brings the schema of a database up to date, or says why not."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from moodline.errors import StoreError

_LOCK_KEY: Final = 0x6D6F6F646C696E65
"""Of the advisory lock that replicas take to migrate one after the other: `moodline` in ASCII."""


def bring_up_to_date(connection: Connection, *, migrate: bool, revision: str = "head") -> None:
    """Migrate in the transaction that is open; replicas that start together migrate once.

    Args:
        connection: In a transaction that writes; SQLite then has no other writer.
        migrate: Whether an older schema is brought up to date; refused otherwise.
        revision: Up to which.

    Raises:
        StoreError: If the schema is newer than this program, or older and `migrate` is off.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    scripts = ScriptDirectory(str(files("moodline.store") / "migrations"))
    current = MigrationContext.configure(connection).get_current_revision()
    newest = scripts.get_current_head()
    if current == newest:
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"the schema of the store is at revision {current}, which this program does not know; "
            f"it knows up to {newest}: start the newer program that made it, or restore the "
            "backup from before the upgrade"
        )
    if not migrate:
        raise StoreError(
            f"the schema of the store is at revision {current or 'none'} and this program needs "
            f"{newest}; allow it to migrate, after a backup"
        )

    def steps(current: str, _: MigrationContext) -> list[MigrationStep]:
        return list(scripts._upgrade_revs(revision, current))

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
