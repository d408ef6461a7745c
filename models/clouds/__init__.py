"""On pixels: masks and the removal of clouds."""
