"""Verdicts, their reasons and the decision rule."""
