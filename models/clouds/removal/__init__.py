"""Cloud removal: what every method is, and the methods that need no learning."""
