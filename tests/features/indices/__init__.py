"""Tests of features/indices."""
