"""Tests of features/extraction."""
