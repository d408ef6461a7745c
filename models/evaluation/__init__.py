"""Metrics with n and interval, the quality sample and field results."""
