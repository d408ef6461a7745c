"""The search for good settings of crop models and cloud-removal networks."""
