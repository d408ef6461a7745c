"""Tests of models/verdicts."""
