"""Tests of features/indexing."""
