"""Noise and arrays for tests of the estimator core on both backends."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import torch

from relaxppl.estimators import noise_shapes

BACKENDS = {"jax": jnp.asarray, "torch": torch.as_tensor}


def noise(estimator: str, logits: Any, law: str, make: Any, seed: int = 0, draws: int = 2) -> Any:
    """Returns the noise of local_gradient, the same on every backend."""
    rng = np.random.default_rng(seed)
    # Of shapes alone, which torch need not compile.
    shapes = noise_shapes(estimator, torch.zeros(*logits.shape), law, draws)
    return {name: make(getattr(rng, kind)(size=shape)) for name, (kind, shape) in shapes.items()}
