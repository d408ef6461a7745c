"""Tests of features/catalog."""
