"""Soil, elevation, weather and other maps, for parcels and for blocks of pixels."""
