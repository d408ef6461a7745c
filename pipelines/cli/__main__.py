"""`python -m pipelines.cli` is `cropcheck`."""

from pipelines.cli.entry import main

main()
