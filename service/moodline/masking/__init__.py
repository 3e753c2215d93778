"""Finds personal data in what customers say and puts placeholders in its place; pure."""
