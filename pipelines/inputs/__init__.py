"""What stages read beside the tables of the stage before."""
