"""Tests of features/tables."""
