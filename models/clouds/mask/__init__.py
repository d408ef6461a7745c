"""Cloud masks: the chance of clear sky, cloud shadow, semi-transparent cloud and cloud, for every pixel."""
