"""What stages read of images, pixel by pixel: frames, masks, maps beside them, grids."""
