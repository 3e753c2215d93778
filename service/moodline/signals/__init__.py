"""Signals: what rules notice, with a life from being raised to being over (docs/rules.md)."""
