"""The stages that make observations of imagery, or of tables."""
