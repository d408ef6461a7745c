"""What messages to people share: what is wrong with an option, and the nearest valid name."""
