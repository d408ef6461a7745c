"""The canopy reflectance table and the script that made it."""
