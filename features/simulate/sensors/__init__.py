"""What Sentinel-1 and Sentinel-2 measure over a simulated region."""
