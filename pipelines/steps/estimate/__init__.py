"""About how long a run takes, and its disk and memory, by stage."""
