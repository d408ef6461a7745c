"""The land of a simulated region: fields, soil, weather, holdings and what they declare."""
