"""A U-Net that masks one date by itself, and what it learns from."""
