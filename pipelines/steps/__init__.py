"""Parts of stages that more than one stage or command uses, or that fill a file of their own."""
