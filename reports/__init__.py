"""What the three readers see."""
