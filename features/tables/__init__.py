"""Tables of series that others extracted, read as observations."""
