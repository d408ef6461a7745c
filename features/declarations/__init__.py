"""Parcel files as agencies publish them, turned into validated declarations."""
