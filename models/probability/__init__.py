"""Calibration, conformal p-values and sets, and the chance that a label is wrong."""
