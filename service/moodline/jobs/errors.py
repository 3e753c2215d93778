"""What ends a job before its time; a bad conversation never does."""

from __future__ import annotations


class JobError(Exception):
    """A job cannot be run, or not be gone on with, as it was asked for.

    The message names what disagrees and the remedy.
    """
