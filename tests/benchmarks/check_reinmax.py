"""The gradients of ReinMaxOneHotCategorical against those of the package reinmax, its authors' own.

Run by hand, where ``pip install reinmax`` has been: ``python -m tests.benchmarks.check_reinmax``.
Both hosts, the same drawn classes, logits up to thirty apart, temperatures from 0.5 to 2. The
largest difference, relative to the largest gradient, must be below 1e-13 in float64, and below 2e-6
in float32, where either rounds by up to 7e-7.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp


def difference(
    theirs_of: Any, dtype: str, temperature: float, classes: int, rows: int = 2_000
) -> float:
    """Returns how far the gradients of a random linear cost are apart.

    :param theirs_of: the function of the package reinmax.
    """
    rng = np.random.default_rng(0)
    logits = (3 * rng.normal(size=(rows, classes))).astype(dtype)
    slope = rng.normal(size=(rows, classes)).astype(dtype)
    given = torch.tensor(logits, requires_grad=True)
    drawn, _ = theirs_of(given, torch.tensor(temperature, dtype=given.dtype))
    (drawn * torch.tensor(slope)).sum().backward()
    theirs = given.grad.numpy()

    # Noise with one large entry makes the class that was drawn there.
    noise = 1e3 * drawn.detach().numpy()
    mine = torch.tensor(logits, requires_grad=True)
    value = rp.ReinMaxOneHotCategorical(temperature, logits=mine).from_noise(torch.tensor(noise))
    assert torch.equal(value.detach(), drawn.detach())
    (value * torch.tensor(slope)).sum().backward()

    def cost(logits: jax.Array) -> jax.Array:
        law = rn.ReinMaxOneHotCategorical(temperature, logits=logits)
        return (law.from_noise(jnp.asarray(noise)) * slope).sum()

    ours = mine.grad.numpy(), np.asarray(jax.grad(cost)(jnp.asarray(logits)))
    return float(max(np.abs(x - theirs).max() for x in ours) / np.abs(theirs).max())


def main() -> None:
    """Print the largest difference of each dtype."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    from reinmax import reinmax

    torch.manual_seed(0)
    for dtype, least in (("float32", 2e-6), ("float64", 1e-13)):
        with jax.enable_x64(dtype == "float64"):
            found = [
                difference(reinmax, dtype, t, k) for t in (0.5, 1.0, 1.3, 2.0) for k in (2, 8, 30)
            ]
        print(f"{dtype}: {max(found):.1e}")
        assert max(found) < least


if __name__ == "__main__":
    main()
