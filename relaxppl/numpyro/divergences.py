"""The exact KL rules, in NumPyro's own registry: TraceMeanField_ELBO finds them there."""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import distributions as host
from numpyro.distributions.kl import kl_divergence

from relaxppl.common.divergences import BERNOULLI, ONE_HOT, RELAXED_BERNOULLI, RULES, Rule
from relaxppl.numpyro import distributions as ours


def same(a: Any, b: Any) -> bool:
    """Returns whether two parameters are known to be equal.

    Under jit values are not known: there only one and the same traced array counts as equal to
    itself. Under grad likewise, so that a temperature that is learned on one side alone is never
    taken for equal, which would lose its gradient.

    :param a: an array, traced or not.
    :param b: an array, traced or not, of a shape that broadcasts with the first.
    """
    if a is b:
        return True
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return False
    return bool(np.all(np.asarray(a) == np.asarray(b)))


def _register(rule: Rule, p: type, q: type) -> None:
    # The host's own classes keep what they were given, which may be a number or NumPy's.
    kl_divergence.register(p, q)(lambda p, q: rule.between(p, q, same, jnp.asarray))


_THEIRS = {
    BERNOULLI: (host.BernoulliProbs, host.BernoulliLogits),
    RELAXED_BERNOULLI: (host.RelaxedBernoulliLogits,),
}
_PAIRS = [(rule, *pair) for rule in RULES for pair in rule.pairs(ours, _THEIRS.get(rule, ()))]
_PAIRS += [
    (ONE_HOT, *pair) for pair in product((host.CategoricalProbs, host.CategoricalLogits), repeat=2)
]
# What the host has, or has got since, is the host's. It sorts all pairs at the first question after
# an addition: all questions come first.
for _new in [pair for pair in _PAIRS if kl_divergence.dispatch(*pair[1:]) is None]:
    _register(*_new)
