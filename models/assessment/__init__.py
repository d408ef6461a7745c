"""The quality assessment: which parcels are visited, and what the visits say of the verdicts."""
