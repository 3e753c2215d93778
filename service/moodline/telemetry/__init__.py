"""Logs, metrics and traces; none of them ever holds customer text."""
