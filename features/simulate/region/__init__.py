"""A simulated region put together and written to disk as a real one would be."""
