"""Public training sets, one reader a file."""
