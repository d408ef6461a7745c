"""Tests of models/crops."""
