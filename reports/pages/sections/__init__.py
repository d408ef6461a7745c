"""Parts of the three pages, one a file."""
