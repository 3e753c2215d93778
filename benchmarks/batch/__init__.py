"""Measures `moodline score`."""
