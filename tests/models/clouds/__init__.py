"""Tests of models/clouds."""
