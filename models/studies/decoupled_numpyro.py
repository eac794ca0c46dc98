"""Draws of the decoupled class on NumPyro; decoupled_pyro.py mirrors this file."""

from typing import Any

import jax
import numpy as np

import relaxppl.numpyro as rx


def draws(
    logits: Any, pair: tuple[float, float], scaled: bool, count: int, seed: int
) -> tuple[Any, Any, Any]:
    """Values, the soft vectors behind their gradients, and the class probabilities."""
    key = jax.random.key(seed)
    value = rx.DecoupledStraightThroughGumbelSoftmax(*pair, logits=logits, scale_logits=scaled)
    soft = rx.RelaxedOneHotCategorical(pair[1], logits=logits / pair[0] if scaled else logits)
    hard, weights = value.sample(key, (count,)), soft.sample(key, (count,))
    return np.asarray(hard), np.asarray(weights, float), np.asarray(value.class_probs, float)
