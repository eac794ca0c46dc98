"""What a straight-through sample's gradient must be: the gradient of one of these.

``noise`` is (n, *noise_event), of the law that the relaxation names; the parameters are those of
one element of a batch.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from tests.distributions.references import log_probs_of, logit_of, relaxed_top_k


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
