"""What models on pixels see: composites in time, and declarations as labels."""
