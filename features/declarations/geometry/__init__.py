"""Outlines of parcels: mended, checked, and placed in a system of coordinates."""
