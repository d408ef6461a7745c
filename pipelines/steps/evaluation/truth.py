"""Where a simulated region's hidden truth lies, below its folder: evaluation alone reads it."""

TRUTH = "truth/*"
TRUTH_EVENTS = "truth/events.parquet"
