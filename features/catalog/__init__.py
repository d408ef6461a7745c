"""STAC items turned into the acquisitions table; no pixel is read here."""
