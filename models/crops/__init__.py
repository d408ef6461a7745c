"""On parcels: the crop-typing estimators, one a file."""
