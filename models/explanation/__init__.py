"""Explanation of the models: contributions, permutation and ablation."""
