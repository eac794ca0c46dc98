"""A guide for a model with discrete latent variables, without writing one."""

from relaxppl.pyro.auto.guide import AutoDiscrete

__all__ = ["AutoDiscrete"]
