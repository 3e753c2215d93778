"""Scoring jobs that a server runs for its callers, behind live work (docs/jobs.md)."""
