"""Tests of features/series."""
