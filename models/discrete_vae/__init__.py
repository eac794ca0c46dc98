"""A variational autoencoder with discrete latents, the same in NumPyro and in Pyro."""
