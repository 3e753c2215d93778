"""`python -m benchmarks.signals`: kills of a server under load, and the cost of signals."""

from __future__ import annotations

from benchmarks.signals.bench import main

main()
