"""Forecasts that are learned: their samples, inputs, boosting and the network."""
