"""The forms in which the results of a job are written."""
