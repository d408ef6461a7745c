"""The quality assessment's year: sample, validate, assess."""
