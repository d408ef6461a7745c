"""From which tiles parcels are read, and the parcels of each tile."""
