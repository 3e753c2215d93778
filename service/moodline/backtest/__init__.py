"""What rules would have told of past contacts, and how right that is (docs/backtest.md).

Pure: works on results of turns that somebody else has read and scored.
"""
