"""The relaxation's samples and the autoencoder in NumPyro; pyro_model.py mirrors this file."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import NDArray

import relaxppl.numpyro as rx
from models.common.numpyro_fit import fit
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
    key = jax.random.key(seed)
    value = rx.DecoupledStraightThroughGumbelSoftmax(*pair, logits=logits, scale_logits=scaled)
    soft = rx.RelaxedOneHotCategorical(pair[1], logits=logits / pair[0] if scaled else logits)
    hard, weights = value.sample(key, (count,)), soft.sample(key, (count,))
    return np.asarray(hard), np.asarray(weights, float), np.asarray(value.class_probs, float)


class Autoencoder:
    """Images through a code of LATENTS classes, for many runs side by side.

    :param runs: temperatures and seeds; each run is an element of one plate.
    :param images: (n, PIXELS).
    """

    def __init__(self, runs: Runs, images: NDArray[np.float32]) -> None:
        self.count, self.initial = len(runs), runs.weights()
        self.forward, self.backward = (jnp.asarray(t) for t in runs.temperatures())
        self.images = jnp.asarray(images)

    def code(self, logits: Any) -> Any:
        """The law of codes, logits (runs, n, LATENTS, CLASSES)."""
        law = rx.DecoupledStraightThroughGumbelSoftmax(
            self.forward, self.backward, logits=logits, scale_logits=True
        )
        return law.to_event(1)

    def encode(self, images: Any, encoder: Any) -> Any:
        """Logits of the codes of images (n, PIXELS)."""
        flat = jnp.einsum("nd,rdk->rnk", images, encoder)
        return flat.reshape(self.count, len(images), LATENTS, CLASSES)

    def decode(self, code: Any, decoder: Any, bias: Any) -> Any:
        """Logits of the pixels, (runs, n, PIXELS)."""
        flat = code.reshape(self.count, -1, CODE)
        return jnp.einsum("rnk,rkd->rnd", flat, decoder) + bias[:, None]

    def model(self) -> None:
        """Pixels of a batch; the codes carry no price (masked)."""
        decoder = [numpyro.param(name, self.initial[name]) for name in ("decoder", "bias")]
        uniform = jnp.zeros((self.count, 1, LATENTS, CLASSES))
        with numpyro.plate("runs", self.count, dim=-2), self.batch() as index:
            code = numpyro.sample("code", self.code(uniform).mask(False))
            pixels = dist.Bernoulli(logits=self.decode(code, *decoder)).to_event(1)
            numpyro.sample("pixels", pixels, obs=self.images[index])

    def guide(self) -> None:
        """The codes."""
        encoder = numpyro.param("encoder", self.initial["encoder"])
        with numpyro.plate("runs", self.count, dim=-2), self.batch() as index:
            logits = self.encode(self.images[index], encoder)
            numpyro.sample("code", self.code(logits).mask(False))

    def batch(self) -> Any:
        """The images of a step."""
        return numpyro.plate("images", len(self.images), subsample_size=BATCH, dim=-1)


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
    params, _, _ = fit(net.model, net.guide, steps, learning_rate=rate, seed=seed, show=show)

    # The arrays are arguments: what a compiled function closes over, XLA folds for minutes.
    @jax.jit
    def loss(params: Any, images: Any, key: Any) -> Any:
        code = net.code(net.encode(images, params["encoder"])).sample(key)
        logits = net.decode(code, params["decoder"], params["bias"])
        return -dist.Bernoulli(logits=logits).log_prob(images).sum(-1).mean(-1)

    keys = jax.random.split(jax.random.key(seed + 1), 20)
    found = [np.asarray(loss(params, jnp.asarray(held), key)) for key in keys]
    return np.mean(found, 0, dtype=float).reshape(len(runs.pairs), len(runs.seeds))
