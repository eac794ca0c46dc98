"""Which features matter? Stochastic gates against the lasso, the same in NumPyro and in Pyro."""
