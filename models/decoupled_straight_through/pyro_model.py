"""The relaxation's samples and the autoencoder in Pyro; numpyro_model.py mirrors this file."""

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray

import relaxppl.pyro as rx
from models.common.pyro_fit import fit
from models.decoupled_straight_through.task import BATCH, CLASSES, CODE, LATENTS, Runs


def draws(
    logits: NDArray[np.floating], pair: tuple[float, float], scaled: bool, count: int, seed: int
) -> tuple[Any, Any, Any]:
    """Values, the soft vectors behind their gradients, and the class probabilities.

    :param logits: (K,).
    :param pair: forward and backward temperature.
    :param scaled: whether the forward temperature scales the logits before the noise.
    :param count: draws.
    :param seed: of the draws.
    :returns: One-hot values (count, K), soft vectors of the same noise (count, K), probabilities
        (K,).
    """
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


class Autoencoder:
    """Images through a code of LATENTS classes, for many runs side by side.

    :param runs: temperatures and seeds; each run is an element of one plate.
    :param images: (n, PIXELS).
    """

    def __init__(self, runs: Runs, images: NDArray[np.float32]) -> None:
        self.count = len(runs)
        self.initial = {name: torch.tensor(w) for name, w in runs.weights().items()}
        self.forward, self.backward = (torch.tensor(t) for t in runs.temperatures())
        self.images = torch.tensor(images)

    def code(self, logits: Any) -> Any:
        """The law of codes, logits (runs, n, LATENTS, CLASSES)."""
        law = rx.DecoupledStraightThroughGumbelSoftmax(
            self.forward, self.backward, logits=logits, scale_logits=True
        )
        return law.to_event(1)

    def encode(self, images: Any, encoder: Any) -> Any:
        """Logits of the codes of images (n, PIXELS)."""
        flat = torch.einsum("nd,rdk->rnk", images, encoder)
        return flat.reshape(self.count, len(images), LATENTS, CLASSES)

    def decode(self, code: Any, decoder: Any, bias: Any) -> Any:
        """Logits of the pixels, (runs, n, PIXELS)."""
        flat = code.reshape(self.count, -1, CODE)
        return torch.einsum("rnk,rkd->rnd", flat, decoder) + bias[:, None]

    def model(self) -> None:
        """Pixels of a batch; the codes carry no price (masked)."""
        decoder = [pyro.param(name, self.initial[name]) for name in ("decoder", "bias")]
        uniform = torch.zeros(self.count, 1, LATENTS, CLASSES)
        with pyro.plate("runs", self.count, dim=-2), self.batch() as index:
            code = pyro.sample("code", self.code(uniform).mask(False))
            pixels = dist.Bernoulli(logits=self.decode(code, *decoder)).to_event(1)
            pyro.sample("pixels", pixels, obs=self.images[index])

    def guide(self) -> None:
        """The codes."""
        encoder = pyro.param("encoder", self.initial["encoder"])
        with pyro.plate("runs", self.count, dim=-2), self.batch() as index:
            logits = self.encode(self.images[index], encoder)
            pyro.sample("code", self.code(logits).mask(False))

    def batch(self) -> Any:
        """The images of a step."""
        return pyro.plate("images", len(self.images), subsample_size=BATCH, dim=-1)


def train(
    runs: Runs,
    images: NDArray[np.float32],
    held: NDArray[np.float32],
    steps: int,
    rate: float,
    seed: int,
    show: bool,
) -> NDArray[np.float64]:
    """Train every run, and reconstruct images held out from codes drawn as in training.

    :param runs: temperatures and seeds.
    :param images: to train with.
    :param held: held out.
    :param steps: optimiser steps.
    :param rate: of Adam.
    :param seed: of every draw.
    :param show: whether to draw a progress bar.
    :returns: Nats per held-out image, (pairs, seeds).
    """
    # Runs share no parameter and Adam works element by element: each trains as if alone.
    net = Autoencoder(runs, images)
    found, _, _ = fit(net.model, net.guide, steps, learning_rate=rate, seed=seed, show=show)
    params = {name: torch.tensor(value) for name, value in found.items()}
    wanted = torch.tensor(held)

    def loss() -> Any:
        code = net.code(net.encode(wanted, params["encoder"])).sample()
        logits = net.decode(code, params["decoder"], params["bias"])
        return -dist.Bernoulli(logits=logits).log_prob(wanted).sum(-1).mean(-1).numpy()

    losses = np.mean([loss() for _ in range(20)], 0, dtype=float)
    return losses.reshape(len(runs.pairs), len(runs.seeds))
