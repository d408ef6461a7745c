"""What benchmarks are measured on: public sets, and regions made for them."""
