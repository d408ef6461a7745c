"""A region from nothing: landscape, phenology, radiometry, clouds and false declarations."""
