"""A journal of what people entered, in a file or a database: entries are added, never changed."""
