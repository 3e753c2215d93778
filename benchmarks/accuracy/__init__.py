"""Accuracy of an artifact on every evaluation set, with confidence intervals."""
