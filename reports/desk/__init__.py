"""The desk: a local web application in which officers work through the parcels of a run."""
