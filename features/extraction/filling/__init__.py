"""Work units with cloud removal: a block of ground over all its dates."""
