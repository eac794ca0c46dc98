"""Unbiased ELBOs for guides with discrete sites: one changed argument of stock SVI."""
