"""Tests of features/imagery."""
