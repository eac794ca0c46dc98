"""Discrete latent variables under gradient-based inference, in Pyro and in NumPyro.

Import the host's half: ``import relaxppl.numpyro as rx`` or ``import relaxppl.pyro as rx``.
This module itself loads neither backend.
"""

__version__ = "0.1.0"
