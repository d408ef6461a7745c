"""Folders of imagery that people have, indexed into a static STAC catalog."""
