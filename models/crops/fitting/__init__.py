"""Cross-fitting: folds, wrong labels, combination of models, and the bundle that is kept."""
