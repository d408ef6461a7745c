"""Verdicts written for other programs."""
