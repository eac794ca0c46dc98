"""The model, its guide and their training in NumPyro; pyro_model.py mirrors this file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax, random
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO

import relaxppl.numpyro as rx
from models.common.networks import Weights
from models.sigmoid_belief_network.estimators import Choice, build
from models.sigmoid_belief_network.result import (
    Settings,
    initial_weights,
    own_numbers,
    variance_of_sums,
)


def network(weights: Any, x: Any) -> Any:
    """A linear map, or one with a hidden layer of tanh units."""
    first = x @ weights["w1"] + weights["b1"]
    return jnp.tanh(first) @ weights["w2"] + weights["b2"] if "w2" in weights else first


@dataclass(frozen=True)
class SigmoidBeliefNetwork:
    """Binary images from layers of binary codes, and a guide that reads the codes off an image.

    :param weights: as initial_weights makes them.
    :param layers: stochastic layers.
    :param latents: codes in a layer.
    :param batch_size: images in a subsample; None takes all.
    :param temperature: of straight-through codes; None for the discrete model.
    :param show_image: whether the estimator's networks read the image.
    :param frozen: whether the weights are constants, not parameters.
    :param probed: whether the guide adds parameters "probe{k}", zeros, to the logits of each image.
    """

    weights: dict[str, Weights]
    layers: int
    latents: int
    batch_size: int | None = None
    temperature: float | None = None
    show_image: bool = False
    frozen: bool = False
    probed: bool = False

    def law(self, logits: Any) -> Any:
        """The law of a layer's code."""
        if self.temperature is None:
            return dist.Bernoulli(logits=logits).to_event(1)
        return rx.RelaxedBernoulliStraightThrough(self.temperature, logits=logits).to_event(1)

    def map(self, name: str) -> Any:
        """A map's weights."""
        return self.weights[name] if self.frozen else numpyro.param(name, self.weights[name])

    def plate(self, images: Any) -> Any:
        """The plate of images, from which a step draws some."""
        return numpyro.plate("images", len(images), subsample_size=self.batch_size)

    def unscaled(self, images: Any) -> Any:
        """Undoes the plate's scale, so that each image drawn counts once.

        The networks of estimators learn costs, by steps of Adam's size; costs that stood for all
        images would be out of their reach.
        """
        return handlers.scale(scale=(self.batch_size or len(images)) / len(images))

    def model(self, images: Any) -> None:
        """Codes from the top layer, uniform, down to the pixels; images (n, D)."""
        maps = {k: self.map(f"generate{k}") for k in range(1, self.layers + 1)}
        with self.unscaled(images), self.plate(images) as index:
            logits = jnp.zeros((len(index), self.latents))
            for layer in range(self.layers, 0, -1):
                code = numpyro.sample(f"code{layer}", self.law(logits)).astype(jnp.float32)
                logits = network(maps[layer], code)
            numpyro.sample("pixels", dist.Bernoulli(logits=logits).to_event(1), obs=images[index])

    def guide(self, images: Any) -> None:
        """Codes from the pixels up; images (n, D)."""
        maps = {k: self.map(f"infer{k}") for k in range(1, self.layers + 1)}
        with self.unscaled(images), self.plate(images) as index:
            batch = code = images[index]
            for layer in range(1, self.layers + 1):
                logits = network(maps[layer], code)
                if self.probed:
                    logits = logits + numpyro.param(f"probe{layer}", jnp.zeros(logits.shape))
                infer = {"estimator_input": batch} if self.show_image else None
                code = numpyro.sample(f"code{layer}", self.law(logits), infer=infer)
                code = code.astype(jnp.float32)


class Trainer:
    """One estimator in training; see result.Trainer.

    :param images: training images, (n, D).
    :param choice: the estimator.
    :param settings: everything else.
    :param seed: of the weights and of every draw.
    """

    chunk = 50

    def __init__(
        self, images: NDArray[np.float32], choice: Choice, settings: Settings, seed: int
    ) -> None:
        self.images = jnp.asarray(images)
        self.choice, self.settings = choice, settings
        self.weights = initial_weights(seed, images, settings)
        self.elbo = build(choice, rx, TraceGraph_ELBO)
        self.svi = self.inference(self.network(batch_size=settings.batch_size))
        start, self.key = random.split(random.key(seed))
        self.state = self.svi.init(start, self.images)
        self.compiled: dict[int, Any] = {}
        self.loss: Any = None

    def network(
        self, weights: dict[str, Weights] | None = None, relaxed: bool = True, **options: Any
    ) -> SigmoidBeliefNetwork:
        """The program as the estimator sees it, or with discrete codes."""
        row, settings = self.choice.row, self.settings
        return SigmoidBeliefNetwork(
            self.weights if weights is None else weights,
            settings.layers,
            settings.latents,
            temperature=self.choice.temperature if row.relaxed and relaxed else None,
            show_image=row.sees_image,
            frozen=weights is not None,
            **options,
        )

    def inference(self, network: SigmoidBeliefNetwork) -> SVI:
        """Stock SVI for a program."""
        guide = self.elbo.prepare(network.guide) if self.choice.row.prepared else network.guide
        optimiser = numpyro.optim.Adam(self.settings.learning_rate)
        return SVI(network.model, guide, optimiser, self.elbo)

    def params(self) -> dict[str, Any]:
        """Everything that training moves: weights, and what the estimator learns or remembers."""
        return self.svi.get_params(self.state) | (self.state.mutable_state or {})

    def advance(self, steps: int) -> NDArray[np.floating]:
        """Take steps; returns their losses, the negative ELBO per training image."""
        if steps not in self.compiled:
            self.compiled[steps] = jax.jit(several(self.svi, steps))
        self.state, losses = self.compiled[steps](self.state, self.images)
        return np.asarray(losses) / self.settings.batch_size

    def bound(self, images: NDArray[np.float32], passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""
        if self.loss is None:
            network, elbo = self.network(relaxed=False), Trace_ELBO()

            def losses(params: Any, keys: Any, images: Any) -> Any:
                one = lambda k: elbo.loss(k, params, network.model, network.guide, images)  # noqa: E731
                return lax.map(one, keys)

            self.loss = jax.jit(losses)
        keys = random.split(random.fold_in(self.key, 1), passes)
        losses_found = self.loss(self.svi.get_params(self.state), keys, jnp.asarray(images))
        return -float(losses_found.mean()) / len(images)

    def trained(self) -> dict[str, Weights]:
        """The weights where training stands, named as initial_weights names them."""
        params = self.svi.get_params(self.state)
        return {name: jax.tree.map(np.asarray, params[name]) for name in self.weights}

    def variance(self, weights: dict[str, Weights]) -> float:
        """The gradient's variance in the logits of an image's codes, at these weights."""
        params = {name: p for name, p in self.params().items() if name not in self.weights}
        key = random.fold_in(self.key, 2)
        if params:
            svi = self.inference(self.network(weights, batch_size=self.settings.batch_size))
            state = svi.init(key, self.images, init_params=params)
            state, _ = jax.jit(several(svi, self.settings.variance_steps))(state, self.images)
            params = svi.get_params(state) | (state.mutable_state or {})
        network = self.network(weights, probed=True)
        images = self.images[: self.settings.variance_images]
        shape = (len(images), self.settings.latents)
        probes = {f"probe{k}": jnp.zeros(shape) for k in range(1, self.settings.layers + 1)}

        def loss(probes: dict[str, Any], key: Any, params: Any, images: Any) -> Any:
            return self.elbo.loss(key, params | probes, network.model, network.guide, images)

        def sums(keys: Any, params: Any, images: Any) -> Any:
            def add(so_far: Any, key: Any) -> Any:
                gradient = jax.grad(loss)(probes, key, params, images)
                total = jax.tree.map(lambda s, g: s + g, so_far[0], gradient)
                return (total, jax.tree.map(lambda s, g: s + g**2, so_far[1], gradient)), None

            return lax.scan(add, (probes, probes), keys)[0]

        count = self.settings.variance_draws
        keys = random.split(random.fold_in(key, 1), count)
        total, squares = jax.jit(sums)(keys, params, images)
        each = [variance_of_sums(total[name], squares[name], count) for name in probes]
        return float(sum(v.sum() for v in each)) / len(images)

    def learned(self) -> dict[str, float]:
        """The estimator's own learned numbers, by parameter name."""
        return own_numbers(self.params())


def several(svi: SVI, steps: int) -> Any:
    """A function of SVI's state and the images that takes steps, to be compiled."""

    def run(state: Any, images: Any) -> Any:
        return lax.scan(lambda s, _: svi.update(s, images), state, None, length=steps)

    return run
