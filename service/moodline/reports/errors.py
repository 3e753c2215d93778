"""What ends a report before there is a page."""

from __future__ import annotations


class ReportError(Exception):
    """A report cannot be made as it was asked for.

    The message names what was looked for and the remedy; it never quotes a conversation.
    """
