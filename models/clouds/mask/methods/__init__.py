"""Cloud masks, one method a file."""
