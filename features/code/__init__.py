"""The code of this project: what a result depends on, and where compiled functions are kept."""
