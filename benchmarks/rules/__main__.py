"""`python -m benchmarks.rules`: how right the default rules are, and what they cost a turn."""

from __future__ import annotations

from benchmarks.rules.bench import main

main()
