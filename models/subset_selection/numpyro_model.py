"""A classifier that sees k pixels of its choice, in NumPyro; pyro_model.py mirrors this file."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from numpy.typing import NDArray

import relaxppl.numpyro as rx
from models.common.numpyro_fit import fit
from models.subset_selection.result import Settings, initial_weights
from models.subset_selection.selection import Splits


class PixelClassifier:
    """Digits from the pixels of a random k-subset, for every run at once.

    :param splits: the digits; each run is an element of one plate.
    :param settings: subset size, temperature, batch size.
    """

    def __init__(self, splits: Splits, settings: Settings) -> None:
        self.images = jnp.asarray(splits.train)
        self.labels = jnp.asarray(splits.train_labels)
        self.runs, self.count, self.pixels = splits.train.shape
        self.settings = settings
        self.weights = initial_weights(settings, self.runs, self.pixels)

    def subset(self) -> Any:
        """The law of the k-hot vectors of chosen pixels, (runs, 1, 1)."""
        logits = numpyro.param("logits", jnp.zeros((self.runs, self.pixels)))
        law = rx.GumbelSoftmaxTopK(
            self.settings.k, self.settings.temperature, logits=logits[:, None, None], hard=True
        )
        # Masked in model and guide: what counts is the classification alone.
        return law.mask(False)

    def model(self) -> None:
        """Labels of a batch of images, of which the chosen pixels are seen."""
        weight = {name: numpyro.param(name, value) for name, value in self.weights.items()}
        with numpyro.plate("runs", self.runs, dim=-3), self.subsets():
            chosen = numpyro.sample("chosen", self.subset())
            # Each drawn subset sees images of its own.
            size = self.settings.subsets, self.settings.images
            index = random.randint(numpyro.prng_key(), (self.runs, *size), 0, self.count)
            rows = jnp.arange(self.runs)[:, None, None]
            seen = self.images[rows, index] * chosen
            logits = layer(jnp.maximum(layer(seen, weight, "1"), 0.0), weight, "2")
            with numpyro.plate("image", size[1], dim=-1):
                label = dist.Categorical(logits=logits)
                numpyro.sample("label", label, obs=self.labels[rows, index])

    def guide(self) -> None:
        """The chosen pixels."""
        with numpyro.plate("runs", self.runs, dim=-3), self.subsets():
            numpyro.sample("chosen", self.subset())

    def subsets(self) -> Any:
        """The subsets that each run draws in a step."""
        return numpyro.plate("subsets", self.settings.subsets, dim=-2)


def layer(x: Any, weight: dict[str, Any], name: str) -> Any:
    """A linear layer for each run; x (runs, subsets, images, D)."""
    product = jnp.einsum("rsid,rde->rsie", x, weight[f"w{name}"])
    return product + weight[f"b{name}"][:, None, None]


def choose(splits: Splits, settings: Settings) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Train and take the k pixels of largest logit.

    :param splits: the digits.
    :param settings: everything else.
    :returns: the pixels, (runs, k), and the losses.
    """
    net = PixelClassifier(splits, settings)
    options: dict[str, Any] = {"learning_rate": settings.learning_rate, "seed": settings.seed}
    params, losses, _ = fit(
        net.model, net.guide, settings.steps, chunk=10, show=settings.progress, **options
    )
    best = np.argsort(-params["logits"], axis=1)[:, : settings.k]
    return best, losses / (len(best) * settings.subsets * settings.images)
