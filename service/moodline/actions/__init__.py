"""Actions: what is done by itself when a signal is raised, exactly once (docs/actions.md)."""
