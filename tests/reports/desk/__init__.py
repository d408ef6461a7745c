"""Tests of reports/desk."""
