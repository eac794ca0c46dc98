"""One file per relaxation: its mathematics, once, for both hosts."""
