"""Coverage of a grid by parcels, and statistics of pixel blocks per parcel."""
