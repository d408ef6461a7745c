"""The sheet of a parcel: pictures, season, reasons."""
