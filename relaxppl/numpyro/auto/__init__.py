"""A guide for a model with discrete latent variables, without writing one."""

from relaxppl.numpyro.auto.guide import AutoDiscrete

__all__ = ["AutoDiscrete"]
