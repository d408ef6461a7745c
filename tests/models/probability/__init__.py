"""Tests of models/probability."""
