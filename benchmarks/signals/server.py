"""A real `moodline serve` in a process of its own, that can be killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from moodline.client import MoodlineRpcError, check_health

_START_LIMIT_S: Final = 300.0
_STOP_LIMIT_S: Final = 180.0


class ServerProcess:
    """One server at a time, always on the same port."""

    def __init__(self, settings: Mapping[str, str], *, log: Path) -> None:
        """Take what it is started with.

        Args:
            settings: Variables without their prefix, e.g. `STORE__URL`.
            log: File that it writes to.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._log = log
        self._environment = {
            **os.environ,
            **{f"MOODLINE_{name}": value for name, value in settings.items()},
            "MOODLINE_SERVER__PORT": str(port),
            "MOODLINE_AUTH__MODE": "none",
            "MOODLINE_TELEMETRY__LOG_LEVEL": "WARNING",
            "MOODLINE_TELEMETRY__LOG_FORMAT": "json",
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process_id(self) -> int:
        """Of the server that runs."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it serves."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "moodline", "serve"),
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(_START_LIMIT_S):
            while not await asyncio.to_thread(self._is_serving):
                if self._process.returncode is not None:
                    raise SystemExit(self._log.read_text(encoding="utf-8")[-4000:])
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self._process.wait(), timeout=_STOP_LIMIT_S)

    def processor_s(self) -> float:
        """Processor time that it has used, on Linux, in seconds."""
        stat = Path(f"/proc/{self.process_id}/stat").read_text(encoding="ascii")
        # The name of the program, in brackets, may hold spaces.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _is_serving(self) -> bool:
        try:
            return check_health(self.address, timeout_s=1.0) == "SERVING"
        except MoodlineRpcError:
            return False
