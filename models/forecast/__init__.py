"""NDVI ahead: forecasts of every parcel, with intervals."""
