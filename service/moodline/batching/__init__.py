"""The batching engine: one queue of windows from all callers, one engine call in flight."""
