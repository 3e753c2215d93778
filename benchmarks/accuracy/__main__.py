"""`python -m benchmarks.accuracy`: how right the model is, and how sure one may be of that."""

from __future__ import annotations

from benchmarks.accuracy.bench import main

main()
