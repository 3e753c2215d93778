"""Signals of a real server: lost or doubled by kills, and what they cost."""
