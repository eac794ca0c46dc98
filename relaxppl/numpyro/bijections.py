"""From the real line to the sites of a relaxed program: what autoguides and samplers move on."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import biject_to, constraints, transforms

from relaxppl.common import bijections as common
from relaxppl.common.bijections import ATOMS, NO_DENSITY, WITH_ATOMS, caller
from relaxppl.numpyro.constraints import CONSTRAINTS


class LogRatio(common.LogRatio, transforms.ParameterFreeTransform):
    domain, codomain = constraints.real_vector, CONSTRAINTS["log_simplex"]

    def __call__(self, x: Any) -> Any:
        return jax.nn.log_softmax(jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)]), axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.zeros_like(x, shape=x.shape[:-1])


def _for_values(reason: str) -> Any:
    """Returns a registry's entry for a support that no density on the real line describes."""

    def bijection(constraint: Any) -> Any:
        # The host's inspection of a program wants a value of each site, and nothing of the line.
        if caller("numpyro.infer.initialization", "init_to_sample"):
            return transforms.IdentityTransform()
        raise NotImplementedError(reason)

    return bijection


def _with_atoms(constraint: Any) -> Any:
    # An autoguide, which sets itself up by the same function, is an approximation that leaves the
    # atoms out and whose bound holds. A sampler would be wrong.
    sampler = caller("numpyro.infer.util", "initialize_model")
    if sampler and not caller("numpyro.infer.autoguide", "_setup_prototype"):
        raise NotImplementedError(ATOMS)
    return transforms.SigmoidTransform()


biject_to.register(CONSTRAINTS["simplex"], lambda _: transforms.StickBreakingTransform())
biject_to.register(CONSTRAINTS["log_simplex"], lambda _: LogRatio())
biject_to.register(CONSTRAINTS["unit_interval_with_atoms"], _with_atoms)
for name in ("discrete_one_hot", *WITH_ATOMS):
    biject_to.register(CONSTRAINTS[name], _for_values(ATOMS))
biject_to.register(CONSTRAINTS["scaled_simplex"], _for_values(NO_DENSITY))
