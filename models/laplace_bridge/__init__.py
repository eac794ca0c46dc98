"""The Laplace bridge: Dirichlet to logistic-normal and back, and a use in classification."""
