"""Straight-through Gumbel-softmax with one temperature for each direction."""
