"""What is checked and estimated before hours of work."""
