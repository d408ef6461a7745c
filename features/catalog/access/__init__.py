"""How items and assets are reached: catalogs, files of items, links, tokens, and what a catalog may name."""
