"""Which models are kept from one run of a folder to the next."""
