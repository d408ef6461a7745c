"""The stages, one a file, and the command that runs them."""
