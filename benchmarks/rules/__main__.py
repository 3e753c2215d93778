"""`python -m benchmarks.rules`: what the default rules cost a turn on this machine."""

from __future__ import annotations

from benchmarks.rules.bench import main

main()
