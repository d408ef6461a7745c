"""The cloud-removal networks, their training and their ensemble."""
