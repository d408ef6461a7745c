"""Work units: which there are, what each computes, and what became of them."""
