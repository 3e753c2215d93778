"""`python -m benchmarks.serving`: latency and throughput of the service on this machine."""

from __future__ import annotations

from benchmarks.serving.bench import main

main()
