"""Unbiased estimators of d E[f(b)] / d logits for discrete b, as pure functions on both backends.

Every estimator produces a local gradient h for a site, an array of the shape of the site's
logits, from costs that the caller evaluates; ``sum(stop_gradient(h) * logits)`` is then a surrogate
with the right gradient in whatever the logits depend on. Noise is an argument: random numbers
are what the backends cannot share.

- ``laws``: the discrete laws by their logits; a ``Draw`` is a value with the latent behind it.
- ``score``: baselines (leave one out, decaying average); no law is needed, only log q.
- ``disarm``: the antithetic value and its local gradient.
- ``rebar``: the control variates of REBAR and RELAX, and the gradients of the variance objective.
- ``network``: the default network of control variates and baselines.
- ``local_gradient``: all of them for a plain cost function and logits.
"""

from relaxppl.estimators.local import LocalGradient, local_gradient, noise_shapes

__all__ = ["LocalGradient", "local_gradient", "noise_shapes"]
