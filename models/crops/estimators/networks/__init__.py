"""Estimators that are networks: one architecture a file, over what they share."""
