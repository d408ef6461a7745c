"""The stages that make observations: of imagery, or of tables that others extracted from it."""
