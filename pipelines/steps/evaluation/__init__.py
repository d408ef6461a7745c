"""How good a run is, measured by stages that judge."""
