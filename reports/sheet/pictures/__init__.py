"""Pictures of parcels, cut from the run's own imagery."""
