"""Detectors of events that learn: boosting over intervals, cross-fitted, with calibrated chances."""
