"""What ends a backtest before there are figures."""

from __future__ import annotations


class BacktestError(Exception):
    """A backtest cannot be made as it was asked for.

    The message names what is wrong and the remedy; it never quotes a conversation.
    """
