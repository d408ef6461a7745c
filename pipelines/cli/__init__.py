"""The command line: the only place that configures logging and draws progress; one noun a file."""

from pipelines.cli.entry import app, main

__all__ = ["app", "main"]
