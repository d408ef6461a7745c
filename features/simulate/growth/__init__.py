"""What grows on the fields of a simulated region, day by day."""
