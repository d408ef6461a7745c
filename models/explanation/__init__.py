"""What the models looked at: contributions, permutation and ablation."""
