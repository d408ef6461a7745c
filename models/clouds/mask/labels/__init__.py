"""Labelled images: read, chosen, and sent to a labelling tool and back."""
