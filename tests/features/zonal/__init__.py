"""Tests of features/zonal."""
