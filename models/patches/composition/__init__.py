"""From the chances of a parcel's pixels to hectares, clusters, and whether more than one crop grows there."""
