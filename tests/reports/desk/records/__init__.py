"""Tests of what the desk keeps."""
