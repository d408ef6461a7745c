"""Tests of features/context."""
