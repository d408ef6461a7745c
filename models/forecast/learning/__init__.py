"""Forecasts that are learned: samples, inputs, boosting, the network; and the simple methods beneath."""
