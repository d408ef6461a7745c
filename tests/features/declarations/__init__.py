"""Tests of features/declarations."""
