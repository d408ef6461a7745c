"""Public labelled sets of series, each read from the format it is published in; classes meet through HCAT."""
