"""`python -m benchmarks.batch`: rate, scaling, memory and recovery of scoring jobs."""

from __future__ import annotations

from benchmarks.batch.bench import main

main()
