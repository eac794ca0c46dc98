"""The hardened draws of a relaxed distribution, as a NumPyro distribution."""

from __future__ import annotations

from numpyro.distributions import Distribution, ExpandedDistribution

from relaxppl.common import hardened as common


class Hardened(common.Hardened, Distribution):
    pytree_data_fields = ("relaxed", "discrete")
    expanded = ExpandedDistribution


class Coupled(common.Coupled, Hardened):
    pytree_aux_fields = ("harden",)
