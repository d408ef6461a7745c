"""Cells of an agency's columns: as text and as numbers."""
