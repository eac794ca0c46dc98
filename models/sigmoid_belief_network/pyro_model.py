"""The model, its guide and their training in Pyro; numpyro_model.py mirrors this file."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from pyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO
from torch import nn

import relaxppl.pyro as rx
from models.common.networks import Weights
from models.sigmoid_belief_network.estimators import Choice, build
from models.sigmoid_belief_network.result import (
    Settings,
    initial_weights,
    own_numbers,
    variance_of_sums,
)


class Network(nn.Module):
    """A linear map, or one with a hidden layer of tanh units.

    :param weights: where it begins.
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(value)))
        self.hidden = "w2" in weights

    def forward(self, x: Any) -> Any:
        """Map (..., inputs) to (..., outputs)."""
        first = x @ self.w1 + self.b1
        return torch.tanh(first) @ self.w2 + self.b2 if self.hidden else first


class SigmoidBeliefNetwork(nn.Module):
    """Binary images from layers of binary codes, and a guide that reads the codes off an image.

    :param weights: initial weights, as initial_weights makes them.
    :param layers: stochastic layers.
    :param latents: codes in a layer.
    :param batch_size: images in a subsample; None takes all.
    :param temperature: of straight-through codes; None for the discrete model.
    :param show_image: whether the estimator's networks read the image.
    :param frozen: whether the weights are constants, not parameters.
    """

    def __init__(
        self,
        weights: dict[str, Weights],
        layers: int,
        latents: int,
        batch_size: int | None = None,
        temperature: float | None = None,
        show_image: bool = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({name: Network(value) for name, value in weights.items()})
        self.maps.requires_grad_(not frozen)
        self.layers = layers
        self.latents = latents
        self.batch_size = batch_size
        self.temperature = temperature
        self.show_image = show_image
        self.frozen = frozen
        self.probes: list[torch.Tensor] | None = None
        """Added to the logits of each layer, for gradients in them."""

    def law(self, logits: Any) -> Any:
        """The law of a layer's code."""
        if self.temperature is None:
            return dist.Bernoulli(logits=logits).to_event(1)
        return rx.RelaxedBernoulliStraightThrough(self.temperature, logits=logits).to_event(1)

    def map(self, name: str) -> Any:
        """A map, its weights registered as parameters."""
        return self.maps[name] if self.frozen else pyro.module(name, self.maps[name])

    def plate(self, images: Any) -> Any:
        """The plate of images, from which a step draws some."""
        return pyro.plate("images", len(images), subsample_size=self.batch_size)

    def unscaled(self, images: Any) -> Any:
        """Undoes the plate's scale, so that each image drawn counts once.

        The networks of estimators learn costs, by steps of Adam's size; costs that stood for all
        images would be out of their reach.
        """
        return pyro.poutine.scale(scale=(self.batch_size or len(images)) / len(images))

    def model(self, images: Any) -> None:
        """Codes from the top layer, uniform, down to the pixels; images (n, D)."""
        maps = {k: self.map(f"generate{k}") for k in range(1, self.layers + 1)}
        with self.unscaled(images), self.plate(images) as index:
            logits = images.new_zeros((len(index), self.latents))
            for layer in range(self.layers, 0, -1):
                logits = maps[layer](pyro.sample(f"code{layer}", self.law(logits)))
            pyro.sample("pixels", dist.Bernoulli(logits=logits).to_event(1), obs=images[index])

    def guide(self, images: Any) -> None:
        """Codes from the pixels up; images (n, D)."""
        maps = {k: self.map(f"infer{k}") for k in range(1, self.layers + 1)}
        with self.unscaled(images), self.plate(images) as index:
            batch = code = images[index]
            for layer in range(1, self.layers + 1):
                logits = maps[layer](code)
                if self.probes is not None:
                    logits = logits + self.probes[layer - 1]
                infer = {"estimator_input": batch} if self.show_image else None
                code = pyro.sample(f"code{layer}", self.law(logits), infer=infer)


class Trainer:
    """One estimator in training; see result.Trainer.

    :param images: training images, (n, D).
    :param choice: the estimator.
    :param settings: everything else.
    :param seed: of the weights and of every draw.
    """

    chunk = 20

    def __init__(
        self, images: NDArray[np.float32], choice: Choice, settings: Settings, seed: int
    ) -> None:
        self.images = torch.tensor(images)
        self.choice, self.settings = choice, settings
        self.elbo = build(
            choice, rx, TraceGraph_ELBO, max_plate_nesting=1, vectorize_particles=True
        )
        weights = initial_weights(seed, images, settings)
        self.net = self.network(weights, batch_size=settings.batch_size)
        self.svi = self.inference(self.net)
        # Trainers take turns: each has parameters and random numbers of its own.
        self.store: Any = {"params": {}, "constraints": {}}
        before = pyro.util.get_rng_state()
        pyro.set_rng_seed(seed)
        self.random = pyro.util.get_rng_state()
        pyro.util.set_rng_state(before)

    def network(self, weights: dict[str, Weights], **options: Any) -> SigmoidBeliefNetwork:
        """The program as the estimator sees it."""
        row, settings = self.choice.row, self.settings
        temperature = self.choice.temperature if row.relaxed else None
        return SigmoidBeliefNetwork(
            weights,
            settings.layers,
            settings.latents,
            temperature=temperature,
            show_image=row.sees_image,
            **options,
        )

    def inference(self, net: SigmoidBeliefNetwork) -> SVI:
        """Stock SVI for a program."""
        guide = self.elbo.prepare(net.guide) if self.choice.row.prepared else net.guide
        optimiser = pyro.optim.Adam({"lr": self.settings.learning_rate})
        return SVI(net.model, guide, optimiser, self.elbo)

    @contextmanager
    def own_state(self) -> Iterator[None]:
        """Pyro's parameters and random numbers as this trainer left them."""
        before = pyro.util.get_rng_state()
        pyro.util.set_rng_state(self.random)
        try:
            with pyro.get_param_store().scope(self.store) as self.store:
                yield
            self.random = pyro.util.get_rng_state()
        finally:
            pyro.util.set_rng_state(before)

    def advance(self, steps: int) -> NDArray[np.floating]:
        """Take steps; returns their losses, the negative ELBO per training image."""
        with self.own_state():
            losses = [step(self.svi, self.images) for _ in range(steps)]
        return np.array(losses) / self.settings.batch_size

    def bound(self, images: NDArray[np.float32], passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""
        net, elbo, data = self.net, Trace_ELBO(), torch.tensor(images)
        before = net.temperature, net.batch_size
        net.temperature = net.batch_size = None
        with self.own_state(), torch.no_grad():
            losses = [elbo.loss(net.model, net.guide, data) for _ in range(passes)]
        net.temperature, net.batch_size = before
        return -float(np.mean(losses)) / len(images)

    def trained(self) -> dict[str, Weights]:
        """The weights where training stands, named as initial_weights names them."""
        return {
            name: {key: value.detach().numpy().copy() for key, value in net.named_parameters()}
            for name, net in self.net.maps.items()
        }

    def variance(self, weights: dict[str, Weights]) -> float:
        """The gradient's variance in the logits of an image's codes, at these weights."""
        settings, count = self.settings, self.settings.variance_draws
        before = self.store, self.random
        # What adapts here is a copy.
        self.store = copy.deepcopy(self.store)
        net = self.network(weights, batch_size=settings.batch_size, frozen=True)
        images = self.images[: settings.variance_images]
        with self.own_state():
            if self.choice.row.prepared:
                svi = self.inference(net)
                for _ in range(settings.variance_steps):
                    step(svi, self.images)
            net.batch_size = None
            net.probes = [
                torch.zeros(len(images), net.latents, requires_grad=True) for _ in range(net.layers)
            ]
            totals = [torch.zeros_like(p) for p in net.probes]
            squares = [torch.zeros_like(p) for p in net.probes]
            for _ in range(count):
                self.elbo.loss_and_grads(net.model, net.guide, images)
                for probe, total, square in zip(net.probes, totals, squares, strict=True):
                    assert probe.grad is not None
                    total += probe.grad
                    square += probe.grad**2
                    probe.grad = None
        self.store, self.random = before
        each = [
            variance_of_sums(total, square, count)
            for total, square in zip(totals, squares, strict=True)
        ]
        return float(sum(v.sum() for v in each)) / len(images)

    def learned(self) -> dict[str, float]:
        """The estimator's own learned numbers, by parameter name."""
        with self.own_state():
            return own_numbers({k: v.detach() for k, v in pyro.get_param_store().items()})


def step(svi: SVI, images: Any) -> float:
    """One step of SVI; NaN where Pyro finds that a number is not finite."""
    try:
        return svi.step(images)
    except ValueError as error:
        # Pyro validates parameters and values before there is a loss to look at.
        if any(word in str(error) for word in ("nan", "inf", "invalid values")):
            return float("nan")
        raise
