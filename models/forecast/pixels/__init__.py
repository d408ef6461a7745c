"""NDVI ahead of single pixels: what they go by, intervals of their own, and maps."""
