"""RELAX as a policy gradient, with REINFORCE and A2C beside it."""
