"""Spectral and radar indices, and their derivatives."""
