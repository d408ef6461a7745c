"""One raster file: whether it may be opened, its header, its blocks, its checksums."""
