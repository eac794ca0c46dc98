"""Unbiased estimators of d E[f(b)] / d logits for discrete b, as pure functions on both backends.

Every estimator produces a local gradient h for a site, an array of the shape of the site's
logits, from costs that the caller evaluates; ``sum(stop_gradient(h) * logits)`` is then a surrogate
with the right gradient in whatever the logits depend on. Noise is an argument: random numbers
are what the backends cannot share.

- ``base``: the contract of an estimator; ``program``: what a program is to it; ``choice``: which
  one serves which site; ``elbo``: how an ELBO class is made for one.
- ``score``, ``rloo``, ``disarm``, ``arms``, ``local_expectation``, ``coupled``, ``rebar``,
  ``relax``: one estimator each.
- ``alone``: what a site costs with each of its variables changed alone; ``counts``: the laws of
  ``coupled``.
- ``vimco``, ``reweighted_wake_sleep``: one estimator each for several draws together;
  ``multi_sample``: their bound.
- ``sequences``: the laws that are drawn in steps; ``expansion``: local expectations of those.
- ``laws``: the discrete laws by their logits; a ``Draw`` is a value with the latent behind it.
- ``network``: the default network of control variates and baselines.
- ``local_gradient``: the estimators for a plain cost function and logits.
"""

from relaxppl.estimators.arms import ARMS
from relaxppl.estimators.coupled import Coupled
from relaxppl.estimators.disarm import DisARM
from relaxppl.estimators.local import LocalGradient, local_gradient, noise_shapes
from relaxppl.estimators.local_expectation import LocalExpectation
from relaxppl.estimators.rebar import REBAR
from relaxppl.estimators.relax import RELAX
from relaxppl.estimators.reweighted_wake_sleep import ReweightedWakeSleep
from relaxppl.estimators.rloo import RLOO
from relaxppl.estimators.score import ScoreFunction
from relaxppl.estimators.vimco import VIMCO

__all__ = [
    "ARMS",
    "REBAR",
    "RELAX",
    "RLOO",
    "VIMCO",
    "Coupled",
    "DisARM",
    "LocalExpectation",
    "LocalGradient",
    "ReweightedWakeSleep",
    "ScoreFunction",
    "local_gradient",
    "noise_shapes",
]
