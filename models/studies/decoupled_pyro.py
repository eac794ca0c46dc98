"""Draws of the decoupled class on Pyro; decoupled_numpyro.py mirrors this file."""

from typing import Any

import pyro
import torch

import relaxppl.pyro as rx


def draws(
    logits: Any, pair: tuple[float, float], scaled: bool, count: int, seed: int
) -> tuple[Any, Any, Any]:
    """Values, the soft vectors behind their gradients, and the class probabilities."""
    forward, backward = (torch.tensor(t) for t in pair)
    a = torch.tensor(logits)
    value = rx.DecoupledStraightThroughGumbelSoftmax(
        forward, backward, logits=a, scale_logits=scaled
    )
    soft = rx.RelaxedOneHotCategorical(backward, logits=a / forward if scaled else a)
    pyro.set_rng_seed(seed)
    hard = value.sample((count,))
    pyro.set_rng_seed(seed)
    return tuple(x.numpy().astype(float) for x in (hard, soft.sample((count,)), value.class_probs))
