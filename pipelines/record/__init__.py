"""The record of a run: what a stage stands on, receipts, manifest and log."""
