"""Units of errors, in training and in the choice of sources."""

UNIT = 0.02  # reflectance: residuals and sigma are predicted in this unit
NDVI_UNIT = 0.05
NDVI_FLOOR = 0.02  # of red and near infrared together, for the gradient only; never an output
