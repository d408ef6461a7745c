"""What grows where inside a parcel, from pixels: crop maps, and the composition of each parcel."""
