"""What learns: cloud removal on pixels, crop typing on parcels, and the verdicts drawn from them."""
