"""The store: contacts, signals, their events and actions, in SQLite or PostgreSQL (docs/store.md).

The only part that knows SQLAlchemy. No clock: every time comes from the caller.
"""
