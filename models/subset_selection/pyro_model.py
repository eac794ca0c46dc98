"""A classifier that sees k pixels of its choice, in Pyro; numpyro_model.py mirrors this file."""

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray

import relaxppl.pyro as rx
from models.common.pyro_fit import fit
from models.subset_selection.result import Settings, initial_weights
from models.subset_selection.selection import Splits


class PixelClassifier:
    """Digits from the pixels of a random k-subset, for every run at once.

    :param splits: the digits; each run is an element of one plate.
    :param settings: subset size, temperature, batch size.
    """

    def __init__(self, splits: Splits, settings: Settings) -> None:
        self.images = torch.tensor(splits.train)
        self.labels = torch.tensor(splits.train_labels)
        self.runs, self.count, self.pixels = splits.train.shape
        self.settings = settings
        weights = initial_weights(settings, self.runs, self.pixels)
        self.weights = {name: torch.tensor(value) for name, value in weights.items()}

    def subset(self) -> Any:
        """The law of the k-hot vectors of chosen pixels, (runs, 1, 1)."""
        logits = pyro.param("logits", torch.zeros(self.runs, self.pixels))
        law = rx.GumbelSoftmaxTopK(
            self.settings.k, self.settings.temperature, logits=logits[:, None, None], hard=True
        )
        # Masked in model and guide: what counts is the classification alone.
        return law.mask(False)

    def model(self) -> None:
        """Labels of a batch of images, of which the chosen pixels are seen."""
        weight = {name: pyro.param(name, value) for name, value in self.weights.items()}
        with pyro.plate("runs", self.runs, dim=-3), self.subsets():
            chosen = pyro.sample("chosen", self.subset())
            # Each drawn subset sees images of its own.
            size = self.settings.subsets, self.settings.images
            index = torch.randint(self.count, (self.runs, *size))
            rows = torch.arange(self.runs)[:, None, None]
            seen = self.images[rows, index] * chosen
            logits = layer(torch.relu(layer(seen, weight, "1")), weight, "2")
            with pyro.plate("image", size[1], dim=-1):
                label = dist.Categorical(logits=logits)
                pyro.sample("label", label, obs=self.labels[rows, index])

    def guide(self) -> None:
        """The chosen pixels."""
        with pyro.plate("runs", self.runs, dim=-3), self.subsets():
            pyro.sample("chosen", self.subset())

    def subsets(self) -> Any:
        """The subsets that each run draws in a step."""
        return pyro.plate("subsets", self.settings.subsets, dim=-2)


def layer(x: Any, weight: dict[str, Any], name: str) -> Any:
    """A linear layer for each run; x (runs, subsets, images, D)."""
    product = torch.einsum("rsid,rde->rsie", x, weight[f"w{name}"])
    return product + weight[f"b{name}"][:, None, None]


def choose(splits: Splits, settings: Settings) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Train and take the k pixels of largest logit.

    :param splits: the digits.
    :param settings: everything else.
    :returns: the pixels, (runs, k), and the losses.
    """
    net = PixelClassifier(splits, settings)
    options: dict[str, Any] = {"learning_rate": settings.learning_rate, "seed": settings.seed}
    params, losses, _ = fit(net.model, net.guide, settings.steps, show=settings.progress, **options)
    best = np.argsort(-params["logits"], axis=1)[:, : settings.k]
    return best, losses / (len(best) * settings.subsets * settings.images)
