"""The model, its guide and their training in Pyro; numpyro_model.py mirrors this file."""

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
from models.sigmoid_belief_network.result import LATENTS, Settings, initial_weights


class Network(nn.Module):
    """A linear map, or one with a hidden layer of tanh units.

    Args:
        weights: where it begins.
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

    Args:
        weights: initial weights, as initial_weights makes them.
        layers: stochastic layers.
        batch_size: images in a subsample; None takes all.
        temperature: of straight-through codes; None for the discrete model.
        show_image: whether the estimator's networks read the image.
    """

    def __init__(
        self,
        weights: dict[str, Weights],
        layers: int,
        batch_size: int | None = None,
        temperature: float | None = None,
        show_image: bool = False,
    ) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({name: Network(value) for name, value in weights.items()})
        self.layers = layers
        self.batch_size = batch_size
        self.temperature = temperature
        self.show_image = show_image
        self.probes: list[torch.Tensor] | None = None
        """Added to the logits of each layer, for gradients in them."""

    def law(self, logits: Any) -> Any:
        """The law of a layer's code."""
        if self.temperature is None:
            return dist.Bernoulli(logits=logits).to_event(1)
        return rx.RelaxedBernoulliStraightThrough(self.temperature, logits=logits).to_event(1)

    def model(self, images: Any) -> None:
        """Codes from the top layer, uniform, down to the pixels; images (n, D)."""
        maps = {k: self.module(f"generate{k}") for k in range(1, self.layers + 1)}
        with pyro.plate("images", len(images), subsample_size=self.batch_size) as index:
            logits = images.new_zeros((len(index), LATENTS))
            for layer in range(self.layers, 0, -1):
                logits = maps[layer](pyro.sample(f"code{layer}", self.law(logits)))
            pyro.sample("pixels", dist.Bernoulli(logits=logits).to_event(1), obs=images[index])

    def guide(self, images: Any) -> None:
        """Codes from the pixels up; images (n, D)."""
        maps = {k: self.module(f"infer{k}") for k in range(1, self.layers + 1)}
        with pyro.plate("images", len(images), subsample_size=self.batch_size) as index:
            batch = code = images[index]
            for layer in range(1, self.layers + 1):
                logits = maps[layer](code)
                if self.probes is not None:
                    logits = logits + self.probes[layer - 1]
                infer = {"estimator_input": batch} if self.show_image else None
                code = pyro.sample(f"code{layer}", self.law(logits), infer=infer)

    def module(self, name: str) -> Any:
        """A map, its weights registered as parameters."""
        return pyro.module(name, self.maps[name])


class Trainer:
    """One estimator in training; see result.Trainer.

    Args:
        images: training images, (n, D).
        choice: the estimator.
        settings: everything else.
        seed: of the weights and of every draw.
    """

    chunk = 10

    def __init__(
        self, images: NDArray[np.float32], choice: Choice, settings: Settings, seed: int
    ) -> None:
        self.images = torch.tensor(images)
        self.choice, self.settings = choice, settings
        self.elbo = build(
            choice, rx, TraceGraph_ELBO, max_plate_nesting=1, vectorize_particles=True
        )
        row = choice.row
        self.net = SigmoidBeliefNetwork(
            initial_weights(seed, images.shape[1], settings.layers, settings.linear),
            settings.layers,
            settings.batch_size,
            choice.temperature if row.relaxed else None,
            row.sees_image,
        )
        guide = self.elbo.prepare(self.net.guide) if row.prepared else self.net.guide
        optimiser = pyro.optim.Adam({"lr": settings.learning_rate})
        self.svi = SVI(self.net.model, guide, optimiser, self.elbo)
        # Trainers take turns: each has a parameter store of its own.
        with pyro.get_param_store().scope() as self.store:
            pass
        pyro.set_rng_seed(seed)

    def advance(self, steps: int) -> NDArray[np.floating]:
        """Take steps; returns their losses, the negative ELBO per training image."""
        with pyro.get_param_store().scope(self.store) as self.store:
            losses = [self.step() for _ in range(steps)]
        return np.array(losses) / len(self.images)

    def step(self) -> float:
        """One step of SVI."""
        try:
            return self.svi.step(self.images)
        except ValueError as error:
            # Pyro validates parameters and values before there is a loss to look at.
            if any(word in str(error) for word in ("nan", "inf", "invalid values")):
                return float("nan")
            raise

    def bound(self, images: NDArray[np.float32], passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""
        net, elbo, data = self.net, Trace_ELBO(), torch.tensor(images)
        before = net.temperature, net.batch_size
        net.temperature = net.batch_size = None
        with pyro.get_param_store().scope(self.store), torch.no_grad():
            losses = [elbo.loss(net.model, net.guide, data) for _ in range(passes)]
        net.temperature, net.batch_size = before
        return -float(np.mean(losses)) / len(images)

    def variance(self) -> float:
        """The gradient's variance in the logits of an image's codes, where training stands."""
        net, count = self.net, self.settings.variance_draws
        images = self.images[: self.settings.variance_images]
        batch_size, net.batch_size = net.batch_size, None
        net.probes = [
            torch.zeros(len(images), LATENTS, requires_grad=True) for _ in range(net.layers)
        ]
        totals = [torch.zeros_like(p) for p in net.probes]
        squares = [torch.zeros_like(p) for p in net.probes]
        # The copy that a scope leaves behind keeps what the gradients moved.
        with pyro.get_param_store().scope(self.store):
            for _ in range(count):
                self.elbo.loss_and_grads(net.model, net.guide, images)
                for probe, total, square in zip(net.probes, totals, squares, strict=True):
                    assert probe.grad is not None
                    total += probe.grad
                    square += probe.grad**2
                    probe.grad = None
            for _, parameter in pyro.get_param_store().named_parameters():
                parameter.grad = None
        net.probes, net.batch_size = None, batch_size
        each = [
            (square - total**2 / count) / (count - 1)
            for total, square in zip(totals, squares, strict=True)
        ]
        return float(sum(v.sum() for v in each)) / len(images)

    def learned(self) -> dict[str, float]:
        """The estimator's own learned numbers, by parameter name."""
        with pyro.get_param_store().scope(self.store):
            return {
                name: float(value.detach())
                for name, value in pyro.get_param_store().items()
                if name.endswith((".temperature", ".eta", ".average"))
            }
