"""What a process opens and loads, as tests watch it."""
