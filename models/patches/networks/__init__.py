"""The U-Net on patches: its parts, its training, and what it learns without labels."""
