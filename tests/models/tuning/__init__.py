"""Tests of models/tuning."""
