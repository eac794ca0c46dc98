"""How training distributions are built from logits, on either host.

Each is built so that its prior, at logits of zero, has hard values of the kind's own prior: then
one discrete model is judged, whatever trained it.
"""

import importlib
import math
from statistics import NormalDist
from typing import Any

import numpy as np

from relaxppl import ops

CHOSEN = 2
"""How many items of a group a top-k code chooses."""
COUNTS = 16
"""The number of values of a count, from 0."""
MEAN_COUNT = 2.0
"""The rate of the Poisson prior."""


def with_temperature(cls: Any, logits: Any, temperature: float | None) -> Any:
    """A class that takes a temperature and logits."""
    return cls(temperature, logits=logits)


def without_temperature(cls: Any, logits: Any, temperature: float | None) -> Any:
    """A class that takes logits alone."""
    return cls(logits=logits)


def decoupled(cls: Any, logits: Any, temperature: float | None) -> Any:
    """The value's own temperature stays 1, where it would not act anyway."""
    return cls(1.0, temperature, logits=logits)


def gaussian_gate(cls: Any, logits: Any, temperature: float | None) -> Any:
    """The temperature is the gate's scale; it is open with probability Phi(logits)."""
    return cls(0.5 + temperature * logits, temperature + 0.0 * logits)


def stochastic_times_smooth(cls: Any, logits: Any, temperature: float | None) -> Any:
    """The unit's c is 1 with probability sqrt(p), so p = s(logits)^2."""
    log_root, root = ops.log_sigmoid(logits), ops.sigmoid(logits)
    return cls(logits=2.0 * log_root - ops.log_sigmoid(-logits) - ops.log1p(root))


def correlated(cls: Any, logits: Any, temperature: float | None, factors: Any = None) -> Any:
    """Correlation of I + V V', scaled to a unit diagonal; V, the factors, (width, rank)."""
    eye = ops.like(logits, np.eye(logits.shape[-1]))
    if factors is None:
        return cls(temperature, logits=logits, scale_tril=eye)
    lower = ops.cholesky(eye + ops.matmul(factors, ops.transpose(factors)))
    norms = ops.sqrt(ops.sum(lower * lower, axis=-1, keepdims=True))
    return cls(temperature, logits=logits, scale_tril=lower / norms)


def invertible_gaussian(cls: Any, logits: Any, temperature: float | None) -> Any:
    """Unit scales; delta gives the last class the share 1 / K of the prior, and so all of them."""
    loc = logits[..., :-1] - logits[..., -1:]
    size = logits.shape[-1]
    threshold = NormalDist().inv_cdf(size ** (-1.0 / (size - 1)))
    assert temperature is not None
    return cls(temperature, loc, 1.0 + 0.0 * loc, math.exp(threshold / temperature))


def logistic_normal(cls: Any, logits: Any, temperature: float | None) -> Any:
    """The softmax of (logits + e) / T, e standard normal."""
    return cls(logits / temperature, (1.0 + 0.0 * logits) / temperature)


def top_k(cls: Any, logits: Any, temperature: float | None) -> Any:
    """Exactly k-hot values."""
    return cls(CHOSEN, temperature, logits=logits, hard=True)


def subset(cls: Any, logits: Any, temperature: float | None) -> Any:
    """Exactly k-hot values of independent bits given their sum."""
    return cls(CHOSEN, logits=logits)


def poisson(cls: Any, logits: Any, temperature: float | None) -> Any:
    """Truncated Poisson counts; the rate is softplus, so that no logit makes it overflow."""
    rate = -ops.log_sigmoid(-logits) * (MEAN_COUNT / math.log(2.0))
    return _truncate(cls)(cls(rate), temperature, size=COUNTS, hard=True)


def geometric(cls: Any, logits: Any, temperature: float | None) -> Any:
    """Truncated geometric counts, larger for larger logits."""
    return _truncate(cls)(cls(logits=-logits), temperature, size=COUNTS, hard=True)


def _truncate(cls: Any) -> Any:
    host = cls.__module__.partition(".")[0]
    return importlib.import_module(f"relaxppl.{host}").truncate


# The logits of the law of hard values, where they are not those that the class was built from.


def gate_logits(law: Any, logits: Any) -> Any:
    """Of Phi(logits)."""
    return ops.log_ndtr(logits) - ops.log_ndtr(-logits)


def argmax_logits(law: Any, logits: Any) -> Any:
    """Of a Gaussian's largest coordinate, by the library's quadrature."""
    probs = law.probs
    return ops.log(ops.clip(probs, ops.tiny(probs), None))


# The KL of laws whose values are discrete by themselves, element by element.


def counts_kl(q: Any, p: Any) -> Any:
    """Of two truncated count laws."""
    log_q, log_p = (ops.log_softmax(law.logits, axis=-1) for law in (q, p))
    return ops.sum(ops.exp(log_q) * (log_q - log_p), axis=-1)


def subsets_kl(q: Any, p: Any) -> Any:
    """Of k of n items from the uniform subset."""
    return math.log(math.comb(q.logits.shape[-1], CHOSEN)) - q.entropy()


def pairs_kl(q: Any, p: Any) -> Any:
    """Of a subset of two from the uniform one: P{i, j} = p_i p_j / (1 - p_i) + the other order."""
    log_p = ops.log_softmax(q.logits, axis=-1)
    size = log_p.shape[-1]
    same = ops.like(log_p, np.eye(size))
    row = log_p[..., None, :] + 0.0 * same
    left = ops.logsumexp(row - 1e30 * same, axis=-1)
    first = (log_p - left)[..., :, None] + row
    mass = ops.logsumexp(ops.stack([first, ops.transpose(first)], axis=0), axis=0)
    terms = ops.exp(mass) * (mass + math.log(math.comb(size, 2)))
    return 0.5 * ops.sum(terms * (1.0 - same), axis=(-2, -1))
