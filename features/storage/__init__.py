"""Files and databases: where they may be written, listed, and read with care."""
