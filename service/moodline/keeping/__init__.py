"""Keeps the signals of live conversations in the store (docs/signals.md)."""
