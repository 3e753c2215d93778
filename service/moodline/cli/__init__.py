"""The command line of moodline."""

from moodline.cli.commands import main

__all__ = ["main"]
