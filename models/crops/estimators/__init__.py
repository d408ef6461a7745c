"""The crop models, one scikit-learn estimator a file."""
