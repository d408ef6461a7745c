"""Programs of others that benchmarks run beside ours."""
