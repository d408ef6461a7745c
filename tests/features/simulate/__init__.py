"""Tests of features/simulate."""
