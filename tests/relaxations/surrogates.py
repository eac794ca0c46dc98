"""What a straight-through sample's gradient must be: the gradient of one of these.

``noise`` is (n, *noise_event), of the law that the relaxation names; the parameters are those of
one element of a batch. Those with a ``centre`` hold something at the parameters that it has while
the others move.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from tests.relaxations.references import log_probs_of, logit_of, relaxed_top_k


def probability(noise, probs=None, logits=None):
    return np.full(noise.shape, special.expit(logit_of(probs, logits)))


def binary_concrete(noise, temperature, probs=None, logits=None):
    return special.expit((logit_of(probs, logits) + noise) / temperature)


def concrete(noise, temperature, probs=None, logits=None):
    return special.softmax((log_probs_of(probs, logits) + noise) / temperature, -1)


def decoupled(noise, temperature_forward, temperature_backward, probs=None, logits=None, **_):
    return concrete(noise, temperature_backward, probs, logits)


def top_k(noise, k, temperature, probs=None, logits=None, hard=True):
    return relaxed_top_k(log_probs_of(probs, logits) + noise, k, temperature)


def weighted_value(noise, values, temperature, probs=None, logits=None, hard=True):
    return concrete(noise, temperature, probs, logits) @ np.asarray(values)


def _linear(weights, x):
    return weights * (x - (weights * x).sum(-1, keepdims=True))


def reinmax(noise, centre, temperature, probs=None, logits=None):
    at = log_probs_of(centre.get("probs"), centre.get("logits"))
    drawn = np.eye(len(at))[(at + noise).argmax(-1)]
    middle = (special.softmax(at / centre["temperature"]) + drawn) / 2
    now = log_probs_of(probs, logits)
    return 2 * _linear(middle, now) - _linear(np.exp(at), now) / 2


def reinmax_binary(noise, centre, temperature, probs=None, logits=None):
    at, now = logit_of(centre.get("probs"), centre.get("logits")), logit_of(probs, logits)
    p = special.expit(at)
    middle = (special.expit(at / centre["temperature"]) + (noise < p)) / 2
    return now * (2 * middle * (1 - middle) - p * (1 - p) / 2)


def gumbel_rao(noise, centre, temperature, probs=None, logits=None, num_samples=10):
    at = log_probs_of(centre.get("probs"), centre.get("logits"))
    time = -np.log(noise)
    drawn = np.eye(len(at), dtype=bool)[(np.exp(at) / time[:, 0]).argmax(-1)][:, None]
    # The first arrival of a Poisson process of rate one, and those of the classes after it.
    time = time[:, 1:]
    first = np.where(drawn, time, 0.0).sum(-1, keepdims=True)
    arrivals = np.where(drawn, first, time / np.exp(at) + first)
    held = -np.log(arrivals) - at
    now = log_probs_of(probs, logits)
    return special.softmax((now + held) / temperature, -1).mean(-2)


def gumbel_rao_binary(noise, centre, temperature, probs=None, logits=None, num_samples=10):
    at, now = logit_of(centre.get("probs"), centre.get("logits")), logit_of(probs, logits)
    v, p = (np.arange(num_samples) + noise[:, 1:]) / num_samples, special.expit(at)
    drawn = noise[:, :1] < p
    held = special.logit(np.where(drawn, 1 - p + v * p, (1 - v) * (1 - p)))
    return special.expit((now + held) / temperature).mean(-1)
