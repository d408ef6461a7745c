"""Parcel files by format: what each reader hands on is the text and the geometry of the file, unaltered."""
