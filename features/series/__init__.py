"""Observations turned into a ParcelSeries on a calendar, with gaps filled and marked."""
