"""A ParcelSeries turned into the arrays and tables that crop models read."""
